"""Importance-sampling estimates of the negative log-likelihood (NLL)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from vae_jax.distributions._numerics import float32_or_wider
from vae_jax.evaluate import chunks
from vae_jax.evaluate.chunks import Progress, map_chunks
from vae_jax.evaluate.statistics import estimate_mean
from vae_jax.models import LatentModel
from vae_jax.training.mesh import chunk_size, jit, over_examples, place
from vae_jax.types import Array, Example, Key, Params

# Examples per compiled call.
_EXAMPLES = 64
_CURVE = (1, 10, 100, 1000)

# (key, params, index of the example, example) -> log p(x) at each K, and ESS
_LogMarginals = Callable[[Key, Params, Array, Example], tuple[Array, Array]]


class Nll(NamedTuple):
  """Estimate of -E[log p(x)] over a data set, in nats.

  Attributes:
    mean: mean over the examples.
    standard_error: standard error of the mean over examples; nan for one
      example.
    per_example: -log p(x) of each example, `[N]`.
  """

  mean: Any
  standard_error: Any
  per_example: Any


class NllCurve(NamedTuple):
  """NLL estimates at several K, from the same samples.

  Attributes:
    at: dict from K, rising, to `Nll`.
    effective_sample_size: (sum_k w_k)^2 / sum_k w_k^2 at the largest K, `[N]`.
  """

  at: dict[int, Nll]
  effective_sample_size: Any


def curve_points(num_samples: int) -> tuple[int, ...]:
  """Returns those of 1, 10, 100, 1000 that are below K, and K."""
  return (*(k for k in _CURVE if k < num_samples), num_samples)


def estimate_nll(
  key: Key,
  model: LatentModel,
  params: Params,
  data: Any,
  *,
  num_samples: int,
  progress: Progress = iter,
  mesh: Mesh | None = None,
) -> Nll:
  """Estimates -log p(x) of every example by importance sampling.

  log p(x) ~ log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), z_k ~ q(z|x),

  a lower bound in expectation that tightens with K: estimates at different K
  are not comparable. The samples are processed in chunks of bounded memory,
  which change neither the draws nor, beyond rounding, the result. Sums of
  weights are computed in log space, in float32 or wider.

  Under `jax.vmap`, over params or data, or `jax.jit`, the results are traced
  arrays, and `progress` is not called.

  Args:
    key: consumed; sample k of example n has its own key.
    model: any `LatentModel`.
    params: parameters of the model.
    data: pytree of `[N, ...]` arrays; an integer x is cast to float32.
    num_samples: samples per example, K, at least 1.
    progress: wraps the range of chunks, to display progress.
    mesh: devices over which the examples are sharded; None for one.

  Returns:
    `Nll`, in nats.

  Raises:
    ValueError: `num_samples` below 1, or no data.

  References:
    Burda, Grosse and Salakhutdinov 2015, Importance Weighted Autoencoders,
    eq. (8); table 1 reports K = 5000.
  """
  curve = estimate_nll_curve(
    key,
    model,
    params,
    data,
    num_samples=(num_samples,),
    progress=progress,
    mesh=mesh,
  )
  return curve.at[num_samples]


def estimate_nll_curve(
  key: Key,
  model: LatentModel,
  params: Params,
  data: Any,
  *,
  num_samples: Sequence[int],
  progress: Progress = iter,
  mesh: Mesh | None = None,
) -> NllCurve:
  """Estimates -log p(x) at several K in one pass.

  The estimate at K uses the first K samples and equals that of `estimate_nll`
  for the same key.

  Args:
    key: consumed.
    model: any `LatentModel`.
    params: parameters of the model.
    data: pytree of `[N, ...]` arrays.
    num_samples: the values of K, rising, each at least 1.
    progress: wraps the range of chunks.
    mesh: devices over which the examples are sharded; None for one.

  Returns:
    `NllCurve`.

  Raises:
    ValueError: no K, values of K that do not rise or are below 1, or no data.
  """
  _check(num_samples)
  count = chunks.count_examples(data)
  size = chunks.example_size(model, params, data)
  examples = min(count, _EXAMPLES)
  draws = max(
    1, min(max(num_samples), chunks.CHUNK_FLOATS // (size * examples))
  )
  one = _make_log_marginals(model, tuple(num_samples), draws)
  leaves = jax.tree.leaves((key, params, data))
  if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
    log_p, effective = jax.lax.map(
      lambda pair: one(key, params, *pair),
      (jnp.arange(count), jax.tree.map(jnp.asarray, data)),
      batch_size=examples,
    )
  else:
    axes = (None, None, 0, 0)
    many = jit(over_examples(jax.vmap(one, axes), axes, mesh), mesh)
    key, params = place((key, params), mesh)
    log_p, effective = map_chunks(
      lambda index: many(key, params, index, chunks.take(data, index)),
      count,
      chunk_size(count, examples, mesh),
      progress,
    )
  at = {
    k: Nll(*estimate_mean(-log_p[:, i]), -log_p[:, i])
    for i, k in enumerate(num_samples)
  }
  return NllCurve(at, effective)


def _check(num_samples: Sequence[int]) -> None:
  for k in num_samples:
    if k < 1:
      raise ValueError(f'num_samples is {k}: must be at least 1')
  if not num_samples or list(num_samples) != sorted(set(num_samples)):
    raise ValueError(f'num_samples is {tuple(num_samples)}: must be rising')


def _make_log_marginals(
  model: LatentModel, num_samples: tuple[int, ...], draws: int
) -> _LogMarginals:
  """Makes log 1/K sum_k w_k of one example at each K, and its ESS."""

  def log_marginals(
    key: Key, params: Params, index: Array, example: Example
  ) -> tuple[Array, Array]:
    example_key = jax.random.fold_in(key, index)
    inference = chunks.condition(model, params, example)

    def log_weight(k: Array, end: int) -> Array:
      z, log_q = chunks.draw_with_log_prob(
        jax.random.fold_in(example_key, k), inference.posterior
      )
      log_w = inference.log_joint(z) - log_q
      chex.assert_rank(log_w, 0)
      log_w = log_w.astype(float32_or_wider(log_w.dtype))
      # Draws beyond `end` pad the last chunk and have weight 0.
      return jnp.where(k < end, log_w, -jnp.inf)

    dtype = jax.eval_shape(lambda: log_weight(jnp.arange(1)[0], 1)).dtype
    carry = (jnp.asarray(-jnp.inf, dtype),) * 2
    found = []
    for start, end in zip((0, *num_samples), num_samples, strict=False):
      carry = _add_weights(carry, log_weight, start, end, draws)
      found.append(carry[0] - jnp.log(end))
    return jnp.stack(found), jnp.exp(2 * carry[0] - carry[1])

  return log_marginals


def _add_weights(
  carry: tuple[Array, Array],
  log_weight: Callable[[Array, int], Array],
  start: int,
  end: int,
  draws: int,
) -> tuple[Array, Array]:
  """Adds weights `start` to `end` to log sum w and log sum w^2."""
  count = min(draws, end - start)

  def add_chunk(carry: tuple[Array, Array], first: Array) -> Any:
    log_w = jax.vmap(log_weight, (0, None))(first + jnp.arange(count), end)
    total, squares = carry
    total = jnp.logaddexp(total, jax.nn.logsumexp(log_w))
    squares = jnp.logaddexp(squares, jax.nn.logsumexp(2 * log_w))
    return (total, squares), None

  return jax.lax.scan(add_chunk, carry, jnp.arange(start, end, count))[0]
