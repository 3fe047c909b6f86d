"""The sum or integral of a density over its events."""

import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import Bernoulli, Distribution, Normal, StudentT
from vae_jax.types import Array, Key

# Points of a lattice that is summed in full.
_LATTICE = 4096
_SAMPLES = 20_000
_BATCH = 256
# A relative standard error above which the sum stays undecided.
_LARGEST_ERROR = 0.1
_ROUNDING = 1e-3
# Dimensions of an integral whose proposal may be heavy-tailed.
_FEW = 4


class Normalisation(NamedTuple):
  """Distance of a sum or integral from 1.

  Attributes:
    value: |sum - 1|; nan where it is not known.
    tolerance: rounding, and five standard errors; None if undecided.
    words: the method.
  """

  value: float
  tolerance: float | None
  words: str


def measure_normalisation(
  key: Key, p: Distribution, x: Array, values: np.ndarray
) -> Normalisation:
  """Sums p over every event, or estimates the sum by importance sampling.

  sum_x p(x) = E_r[p(x) / r(x)], x ~ r

  Bits are summed in full up to a lattice of 4096 points. Otherwise r is a
  product of Bernoulli distributions, or of normals 1 % wider than p, of p's own
  mean and variance: its weights are nearly constant if p is a product too.

  Args:
    key: consumed.
    p: p(x|z).
    x: one event.
    values: the numbers that occur in x, rising; a discrete p has no others.

  Returns:
    `Normalisation`.
  """
  if not p.is_discrete:
    return _of_continuous(key, p, x)
  is_binary = set(values.tolist()) <= {0.0, 1.0}
  levels = np.array([0.0, 1.0]) if is_binary else values
  if x.size * math.log(len(levels)) <= math.log(_LATTICE):
    total = _sum_lattice(p, x, levels)
    if is_binary:
      words = f'over all 2^{x.size} values'
      return Normalisation(abs(total - 1), _ROUNDING, words)
    words = f'over the {len(levels)}^{x.size} values of the data, at most 1'
    return Normalisation(max(total - 1, 0.0), _ROUNDING, words)
  if is_binary and p.has_moments:
    mean = jnp.clip(p.mean(), 1e-6, 1 - 1e-6)
    return _by_importance(key, p, Bernoulli(jnp.log(mean) - jnp.log1p(-mean)))
  words = f'not known: x has {len(levels)}^{x.size} values'
  return Normalisation(math.nan, None, words)


def _of_continuous(key: Key, p: Distribution, x: Array) -> Normalisation:
  if not p.has_moments:
    return Normalisation(math.nan, None, 'not known: p(x|z) has no mean')
  mean = jnp.broadcast_to(p.mean(), x.shape)
  log_scale = 0.5 * jnp.log(jnp.broadcast_to(p.variance(), x.shape))
  if x.size <= _FEW:
    wide = StudentT(3.0, mean, log_scale + math.log(1.5))
    return _by_importance(key, p, wide)
  return _by_importance(key, p, Normal(mean, log_scale + math.log(1.01)))


def _sum_lattice(p: Distribution, x: Array, levels: np.ndarray) -> float:
  points = np.array(list(itertools.product(levels, repeat=x.size)))
  points = points.reshape(-1, *x.shape).astype(x.dtype)
  log_p = jax.lax.map(p.log_prob, points, batch_size=_BATCH)
  return float(np.sum(np.exp(np.asarray(log_p, np.float64))))


def _by_importance(
  key: Key, p: Distribution, proposal: Distribution
) -> Normalisation:
  def weight(key: Key) -> Any:
    x = jax.lax.stop_gradient(proposal.sample(key))
    return p.log_prob(x) - proposal.log_prob(x)

  keys = jax.random.split(key, _SAMPLES)
  log_w = jax.lax.map(weight, keys, batch_size=_BATCH)
  weights = np.exp(np.asarray(log_w, np.float64))
  error = float(np.std(weights, ddof=1) / math.sqrt(len(weights)))
  value = abs(float(np.mean(weights)) - 1)
  words = f'by {_SAMPLES} importance samples, standard error {error:.2g}'
  # A heavy tail shows in the largest weight before it does in the error.
  largest = float(weights.max() / weights.sum()) if weights.sum() > 0 else 1.0
  if not error < _LARGEST_ERROR or largest > _LARGEST_ERROR:
    return Normalisation(value, None, f'{words}: too large to decide')
  return Normalisation(value, 5 * error + _ROUNDING, words)
