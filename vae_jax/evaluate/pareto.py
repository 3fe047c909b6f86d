"""Pareto-smoothed importance sampling: the tail shape k-hat of the weights."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from vae_jax.distributions import _shapes
from vae_jax.distributions._numerics import float32_or_wider
from vae_jax.evaluate import chunks
from vae_jax.evaluate.chunks import Progress, map_chunks
from vae_jax.evaluate.statistics import Estimate, estimate_mean
from vae_jax.models import LatentModel
from vae_jax.training.mesh import chunk_size, jit, over_examples, place
from vae_jax.types import Array, Example, Key, Params

# A Pareto distribution is not fitted to fewer weights.
_FEWEST = 5
# Weight of the prior k = 1/2, in weights of the tail.
_PRIOR = 10
# Floats of the fit: points of the grid times weights of the tail.
_EXAMPLES = 16


class Smoothed(NamedTuple):
  """Importance weights of one example whose largest ones are smoothed.

  Attributes:
    log_weights: `[K]`, in the order of the input.
    pareto_k: shape k-hat of the tail, `[]`; +inf where fewer than K/5 weights
      are positive, nan for too few weights (K below 25).
  """

  log_weights: Array
  pareto_k: Array


class Weights(NamedTuple):
  """Quality of the importance weights p(x, z_k) / q(z_k|x), per example.

  Attributes:
    nll: `Estimate` of -E[log p(x)] by the weights themselves, a bound.
    smoothed_nll: `Estimate` by smoothed weights; not a bound.
    pareto_k: k-hat, `[N]`: the mean of K weights has an error that falls as
      usual below 0.5, usefully below 0.7, and hardly at all above 1.
    effective_sample_size: (sum_k w_k)^2 / sum_k w_k^2, `[N]`.
    log_marginal: log 1/K sum_k w_k, `[N]`.
    smoothed_log_marginal: log-mean of the smoothed weights, `[N]`.
  """

  nll: Estimate
  smoothed_nll: Estimate
  pareto_k: Any
  effective_sample_size: Any
  log_marginal: Any
  smoothed_log_marginal: Any

  def reliable(self, limit: float = 0.7) -> float:
    """Returns the share of examples with k-hat below a limit."""
    return float((self.pareto_k < limit).mean())


def pareto_smooth(log_weights: Array) -> Smoothed:
  """Replaces the largest importance weights by quantiles of a fitted tail.

  The M = ceil(min(K / 5, 3 sqrt(K))) largest weights, less the largest one
  below them, are fitted by a generalised Pareto distribution
  F(w) = 1 - (1 + k w / sigma)^(-1/k), and become its quantiles at
  (m - 1/2) / M, at most the largest weight. The moments of the weights exist up
  to the order 1/k.

  Args:
    log_weights: log w_k, `[K]`, not normalised; -inf has weight 0.

  Returns:
    `Smoothed`. With a tail of fewer than 5 weights, or of equal weights, the
    weights do not change.

  References:
    Vehtari, Simpson, Gelman, Yao and Gabry 2024, Pareto Smoothed Importance
    Sampling, algorithm 1 and appendix C; Zhang and Stephens 2009, A New and
    Efficient Estimation Method for the Generalized Pareto Distribution.

  Examples:
    >>> quantiles = (jnp.arange(1000) + 0.5) / 1000
    >>> log_weights = -0.5 * jnp.log(1 - quantiles)  # Pareto with k = 1/2
    >>> print(f'{vj.pareto_smooth(log_weights).pareto_k:.1f}')
    0.5
  """
  _shapes.assert_rank(log_weights, 1)
  log_weights = log_weights.astype(float32_or_wider(log_weights.dtype))
  count = len(log_weights)
  size = math.ceil(min(count / 5, 3 * math.sqrt(count)))
  if size < _FEWEST:
    return Smoothed(log_weights, jnp.full((), jnp.nan, log_weights.dtype))
  order = jnp.argsort(log_weights)
  ordered = log_weights[order]
  tail, cut, most = ordered[-size:], ordered[-size - 1], ordered[-1]
  # In units of the largest weight.
  base = jnp.exp(cut - most)
  excess = jnp.exp(tail - most) - base
  is_flat = ~(excess[-1] > 0)  # Also nan: no finite weight.
  k, sigma = _fit_pareto(jnp.where(is_flat, 1.0, excess))
  levels = (jnp.arange(size) + 0.5) / size
  smooth = jnp.log(base + _quantile(levels, k, sigma)) + most
  smooth = jnp.where(is_flat, tail, jnp.minimum(smooth, most))
  k = jnp.where(is_flat, -jnp.inf, k)
  # Weight 0 within the tail: most samples miss the posterior.
  k = jnp.where(jnp.isneginf(cut), jnp.inf, k)
  smooth = jnp.where(jnp.isneginf(cut), tail, smooth)
  return Smoothed(log_weights.at[order[-size:]].set(smooth), k)


def _fit_pareto(excess: Array) -> tuple[Array, Array]:
  """Fits k and sigma to `[M]` rising numbers >= 0, the largest above 0.

  The posterior mean of b = -k / sigma under the profile likelihood, on a grid
  whose scale is that of a quartile, then k given b, with a weak prior.
  """
  count = len(excess)
  points = 30 + int(math.sqrt(count))
  # A quartile of 0, as of equal weights, would give an infinite grid.
  quartile = jnp.maximum(excess[int(count / 4 + 0.5) - 1], 1e-6 * excess[-1])
  grid = 1 - jnp.sqrt(points / (jnp.arange(points) + 0.5))
  b = 1 / excess[-1] + grid / (3 * quartile)
  k = jnp.mean(jnp.log1p(-b[:, None] * excess[None]), axis=1)
  # b and k have one sign: b / k is positive, and finite at b = 0.
  log_lik = count * (jnp.log(-b / k) - k - 1)
  weights = jax.nn.softmax(jnp.where(jnp.isnan(log_lik), -jnp.inf, log_lik))
  b = jnp.sum(weights * b)
  k = jnp.mean(jnp.log1p(-b * excess))
  sigma = -k / b
  return (count * k + 0.5 * _PRIOR) / (count + _PRIOR), sigma


def _quantile(level: Array, k: Array, sigma: Array) -> Array:
  """Returns sigma (exp(-k log(1 - level)) - 1) / k, its limit at k = 0."""
  log_tail = -jnp.log1p(-level)
  is_zero = jnp.abs(k) < 1e-6
  safe = jnp.where(is_zero, 1.0, k)
  return sigma * jnp.where(is_zero, log_tail, jnp.expm1(safe * log_tail) / safe)


def measure_weights(
  key: Key,
  model: LatentModel,
  params: Params,
  data: Any,
  *,
  num_samples: int,
  progress: Progress = iter,
  mesh: Mesh | None = None,
) -> Weights:
  """Measures whether K importance samples are enough, per example.

  Args:
    key: consumed; the samples are those of `estimate_nll` for the same key.
    model: any `LatentModel`.
    params: parameters of the model.
    data: pytree of `[N, ...]` arrays; an integer x is cast to float32.
    num_samples: samples per example, K, at least 25 for a fit.
    progress: wraps the range of chunks.
    mesh: devices over which the examples are sharded; None for one.

  Returns:
    `Weights`, in nats.

  Raises:
    ValueError: `num_samples` below 25, or no data.

  References:
    Vehtari et al. 2024, Pareto Smoothed Importance Sampling, section 3.2 and
    table 1.
  """
  if num_samples < 25:
    raise ValueError(f'num_samples is {num_samples}: must be at least 25')
  count = chunks.count_examples(data)
  size = chunks.example_size(model, params, data)
  one = _make_example(model, num_samples, size)
  axes = (None, None, 0, 0)
  many = jit(over_examples(jax.vmap(one, axes), axes, mesh), mesh)
  given = place((key, params), mesh)
  found = map_chunks(
    lambda index: many(*given, index, chunks.take(data, index)),
    count,
    chunk_size(count, _EXAMPLES, mesh),
    progress,
  )
  log_p, smoothed, pareto_k, effective = found
  return Weights(
    estimate_mean(-log_p),
    estimate_mean(-smoothed),
    pareto_k,
    effective,
    log_p,
    smoothed,
  )


def _make_example(
  model: LatentModel, num_samples: int, size: int
) -> Callable[[Key, Params, Array, Example], tuple[Array, ...]]:
  """Makes log p(x), its smoothed form, k-hat and ESS of one example."""
  batch = max(1, chunks.CHUNK_FLOATS // (size * _EXAMPLES))

  def example(
    key: Key, params: Params, index: Array, example: Example
  ) -> tuple[Array, ...]:
    key = jax.random.fold_in(key, index)
    inference = chunks.condition(model, params, example)

    def log_weight(k: Array) -> Array:
      own_key = jax.random.fold_in(key, k)
      return chunks.draw_with_log_weight(own_key, inference)[1]

    log_w = jax.lax.map(log_weight, jnp.arange(num_samples), batch_size=batch)
    smoothed, pareto_k = pareto_smooth(log_w)
    total = jax.nn.logsumexp(log_w)
    effective = jnp.exp(2 * total - jax.nn.logsumexp(2 * log_w))
    log_count = jnp.log(num_samples)
    log_smoothed = jax.nn.logsumexp(smoothed) - log_count
    return total - log_count, log_smoothed, pareto_k, effective

  return example
