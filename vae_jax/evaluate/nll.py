"""Importance-sampling estimates of the negative log-likelihood (NLL)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import _shapes
from vae_jax.distributions._numerics import float32_or_wider
from vae_jax.evaluate import chunks
from vae_jax.evaluate.chunks import Progress, map_chunks
from vae_jax.evaluate.statistics import estimate_mean
from vae_jax.models import LatentModel
from vae_jax.models.quick_jit import quick_jit
from vae_jax.types import Array, Example, Key, Params

# Examples per compiled call.
_EXAMPLES = 64
_CURVE = (1, 10, 100, 1000)

# (key, params, chunks of samples, index of the example, example) -> log p(x) at
# each K, and ESS
_LogMarginals = Callable[
  [Key, Params, '_Chunks', Array, Example], tuple[Array, Array]
]


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

  Returns:
    `Nll`, in nats.

  Raises:
    ValueError: `num_samples` below 1, or no data.

  References:
    Burda, Grosse and Salakhutdinov 2015, Importance Weighted Autoencoders,
    eq. (8); table 1 reports K = 5000.
  """
  curve = estimate_nll_curve(
    key, model, params, data, num_samples=(num_samples,), progress=progress
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

  Returns:
    `NllCurve`.

  Raises:
    ValueError: no K, values of K that do not rise or are below 1, or no data.
  """
  estimate = make_nll_curve(model)
  return estimate(key, params, data, num_samples=num_samples, progress=progress)


def make_nll_curve(model: LatentModel) -> Callable[..., NllCurve]:
  """Makes the function that estimates -log p(x) at several K in one pass.

  Args:
    model: any `LatentModel`.

  Returns:
    `nll_curve(key, params, data, *, num_samples, progress=iter) -> NllCurve`,
    as `estimate_nll_curve`. All calls share one compiled program if their data
    have one shape and they have the same list of K.
  """

  def log_marginals(*args: Any, draws: int) -> tuple[Array, Array]:
    one = _make_log_marginals(model, draws)
    return jax.vmap(one, (None, None, None, 0, 0))(*args)

  many = quick_jit(log_marginals, static_argnames=('draws',))

  def nll_curve(
    key: Key,
    params: Params,
    data: Any,
    *,
    num_samples: Sequence[int],
    progress: Progress = iter,
  ) -> NllCurve:
    _check(num_samples)
    count = chunks.count_examples(data)
    size = chunks.example_size(model, params, data)
    examples = min(count, _EXAMPLES)
    fitting = max(1, chunks.CHUNK_FLOATS // (size * examples))
    draws = min(max(num_samples), fitting)
    # An argument: the program holds for every list of K with as many chunks.
    chunked = _make_chunks(num_samples, draws)
    if _is_traced((key, params, data)):
      log_p, effective = _map_traced(
        _make_log_marginals(model, draws),
        *(key, params, chunked, data),
        batch_size=examples,
      )
    else:
      log_p, effective = map_chunks(
        lambda index: many(
          *(key, params, chunked, index, chunks.take(data, index)), draws=draws
        ),
        count,
        examples,
        progress,
      )
    at = {
      k: Nll(*estimate_mean(-log_p[:, i]), -log_p[:, i])
      for i, k in enumerate(num_samples)
    }
    return NllCurve(at, effective)

  return nll_curve


def _is_traced(tree: Any) -> bool:
  leaves = jax.tree.leaves(tree)
  return any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)


def _map_traced(
  one: Callable[..., tuple[Array, Array]],
  key: Key,
  params: Params,
  chunked: Any,
  data: Any,
  *,
  batch_size: int,
) -> tuple[Array, Array]:
  """Maps over all examples within the program that is being traced."""
  data = jax.tree.map(jnp.asarray, data)
  chunked = jax.tree.map(jnp.asarray, chunked)
  return jax.lax.map(
    lambda pair: one(key, params, chunked, *pair),
    (jnp.arange(chunks.count_examples(data)), data),
    batch_size=batch_size,
  )


def _check(num_samples: Sequence[int]) -> None:
  for k in num_samples:
    if k < 1:
      raise ValueError(f'num_samples is {k}: must be at least 1')
  if not num_samples or list(num_samples) != sorted(set(num_samples)):
    raise ValueError(f'num_samples is {tuple(num_samples)}: must be rising')


class _Chunks(NamedTuple):
  """Chunks of samples of one size, each up to one of the values of K.

  Attributes:
    first: first sample of each chunk, `[C]`.
    end: the value of K up to which its samples count, `[C]`.
    point: index of that K, `[C]`.
    at: the values of K, `[P]`.
  """

  first: Any
  end: Any
  point: Any
  at: Any


def _make_chunks(num_samples: Sequence[int], draws: int) -> _Chunks:
  """Divides the samples between each K and the next into chunks."""
  chunks = [
    (first, end, point)
    for point, (start, end) in enumerate(
      zip((0, *num_samples), num_samples, strict=False)
    )
    for first in range(start, end, draws)
  ]
  first, end, point = np.array(chunks, np.int32).T
  return _Chunks(first, end, point, np.array(num_samples, np.int32))


def _make_log_marginals(model: LatentModel, draws: int) -> _LogMarginals:
  """Makes log 1/K sum_k w_k of one example at each K, and its ESS.

  Args:
    model: any `LatentModel`.
    draws: samples per chunk.
  """

  def log_marginals(
    key: Key, params: Params, chunked: _Chunks, index: Array, example: Example
  ) -> tuple[Array, Array]:
    example_key = jax.random.fold_in(key, index)
    inference = chunks.condition(model, params, example)

    def log_weight(k: Array, end: Array) -> Array:
      z, log_q = chunks.draw_with_log_prob(
        jax.random.fold_in(example_key, k), inference.posterior
      )
      log_w = inference.log_joint(z) - log_q
      _shapes.assert_rank(log_w, 0)
      log_w = log_w.astype(float32_or_wider(log_w.dtype))
      # Draws beyond `end` pad the last chunk of a K and have weight 0.
      return jnp.where(k < end, log_w, -jnp.inf)

    def add_chunk(chunk: Array, carry: Any) -> Any:
      total, squares, found = carry
      first, end, point = (x[chunk] for x in chunked[:3])
      numbers = first + jnp.arange(draws, dtype=first.dtype)
      log_w = jax.vmap(log_weight, (0, None))(numbers, end)
      total = jnp.logaddexp(total, jax.nn.logsumexp(log_w))
      squares = jnp.logaddexp(squares, jax.nn.logsumexp(2 * log_w))
      return total, squares, found.at[point].set(total)

    dtype = jax.eval_shape(log_weight, *jnp.arange(2)).dtype
    none = jnp.full(len(chunked.at), -jnp.inf, dtype)
    total, squares, found = jax.lax.fori_loop(
      0, len(chunked.first), add_chunk, (none[0], none[0], none)
    )
    log_k = jnp.log(chunked.at.astype(dtype))
    return found - log_k, jnp.exp(2 * total - squares)

  return log_marginals
