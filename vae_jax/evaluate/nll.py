"""Importance-sampling estimates of the negative log-likelihood (NLL)."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from vae_jax.evaluate import chunks
from vae_jax.evaluate.chunks import Progress, map_chunks
from vae_jax.evaluate.log_marginals import make_chunks, make_log_marginals
from vae_jax.evaluate.statistics import estimate_mean
from vae_jax.models import LatentModel
from vae_jax.models.quick_jit import quick_jit
from vae_jax.training.mesh import chunk_size, jit, over_examples, place
from vae_jax.types import Array, Key, Params

# Examples per compiled call.
_EXAMPLES = 64
_CURVE = (1, 10, 100, 1000)


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
  """Returns those of 1, 10, 100, 1000 that are below K, and K.

  Examples:
    >>> print(curve_points(5000))
    (1, 10, 100, 1000, 5000)
  """
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

  Examples:
    >>> truth = vj.LinearGaussian(jnp.ones((2, 1)), jnp.zeros(2), 0.0)
    >>> prior, posterior = truth.prior(), lambda params, x: truth.posterior(x)
    >>> decode = lambda params, z: truth.decode(z)
    >>> vae = vj.VAE(lambda key: {}, posterior, decode, lambda params: prior)
    >>> x = jnp.array([[1.0, -1.0]])
    >>> nll = vj.estimate_nll(jax.random.key(0), vae, {}, x, num_samples=1)
    >>> print(f'{nll.mean:.3f} {-truth.log_marginal(x[0]):.3f}')
    3.387 3.387
  """
  estimate = make_nll_curve(model, mesh)
  at = {'num_samples': (num_samples,), 'progress': progress}
  return estimate(key, params, data, **at).at[num_samples]


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
  estimate = make_nll_curve(model, mesh)
  return estimate(key, params, data, num_samples=num_samples, progress=progress)


def make_nll_curve(
  model: LatentModel, mesh: Mesh | None = None
) -> Callable[..., NllCurve]:
  """Makes the function that estimates -log p(x) at several K in one pass.

  Args:
    model: any `LatentModel`.
    mesh: devices over which the examples are sharded; None for one.

  Returns:
    `nll_curve(key, params, data, *, num_samples, progress=iter) -> NllCurve`,
    as `estimate_nll_curve`. All calls share one compiled program if their data
    have one shape and they have the same list of K.
  """

  @functools.cache
  def compiled(draws: int) -> Any:
    axes = (None, None, None, 0, 0)
    many = jax.vmap(make_log_marginals(model, draws), axes)
    return jit(over_examples(many, axes, mesh), mesh, alone=quick_jit)

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
    chunked = make_chunks(num_samples, draws)
    if _is_traced((key, params, data)):
      log_p, effective = _map_traced(
        make_log_marginals(model, draws),
        *(key, params, chunked, data),
        batch_size=examples,
      )
    else:
      many, given = compiled(draws), place((key, params, chunked), mesh)
      log_p, effective = map_chunks(
        lambda index: many(*given, index, chunks.take(data, index)),
        count,
        chunk_size(count, examples, mesh),
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
