"""Distributions over 8-bit pixels, x in {0, 1/255, ..., 1}."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions._numerics import (
  event_sum,
  nan_where,
  restrict_to_support,
  softplus,
)
from vae_jax.distributions.base import Elementwise, check_event, distribution
from vae_jax.distributions.categorical import FiniteSupport
from vae_jax.types import Array, ArrayLike, Key

NUM_LEVELS = 256
_TOP = NUM_LEVELS - 1


class _Pixels(FiniteSupport):
  """Independent pixels x = k / 255; `log_prob` is a log-probability mass.

  x of dtype uint8 are the levels k.
  """

  def mean(self) -> Array:
    return self._expectation(self._levels / _TOP)

  def variance(self) -> Array:
    deviation = self._levels / _TOP - self.mean()[..., None]
    return self._expectation(deviation**2)

  @property
  def _levels(self) -> Array:
    return jnp.arange(NUM_LEVELS, dtype=float).reshape(
      (1,) * len(self.shape) + (NUM_LEVELS,)
    )

  def _expectation(self, values: Array) -> Array:
    return jnp.sum(jnp.exp(self.log_probabilities) * values, axis=-1)


@distribution
class DiscretisedLogistic(_Pixels, Elementwise):
  """Logistic(loc, exp(log_scale)) rounded to the nearest of 256 levels.

  p(x) = F(x + 1/510) - F(x - 1/510), F(y) = sigmoid((y - loc) / scale),
  with F = 0 below x = 0 and 1 above x = 1: the first and last bin absorb the
  tails, so the 256 probabilities sum to 1 for all parameters.

  Args:
    loc: location, of the event's shape. A pixel is in [0, 1], `loc` anywhere.
    log_scale: log of the scale, of the event's shape or `[]`.

  References:
    Salimans et al. 2017, PixelCNN++, eq. (2) with one component.
  """

  loc: ArrayLike
  log_scale: ArrayLike

  @property
  def log_probabilities(self) -> Array:
    expand = lambda value: jnp.broadcast_to(value, self.shape)[..., None]
    return log_mass(self._levels, expand(self.loc), expand(self.log_scale))

  def sample(self, key: Key) -> Array:
    eps = jax.random.logistic(key, self.shape, self.dtype)
    y = jnp.asarray(self.loc) + jnp.exp(self.log_scale) * eps
    return jnp.clip(jnp.round(_TOP * y), 0, _TOP) / _TOP

  def log_prob(self, z: Array) -> Array:
    check_event('x', z, self)
    # Flat: XLA's CPU code is slow where the last axis has size 1.
    flat = lambda value: jnp.ravel(jnp.broadcast_to(value, self.shape))
    level, inside = level_of(flat(z))
    mass = log_mass(level, flat(self.loc), flat(self.log_scale))
    return event_sum(restrict_to_support(inside, mass, level))

  def mean(self) -> Array:
    """Returns sum_k P(255 x >= k) / 255, k = 1, ..., 255."""
    loc, log_scale = self._full_parameters
    width, rest = _per_level(log_scale)

    def at_least(level: Array) -> Array:
      below = _in_scales(level - 0.5, loc, width, rest)
      return jnp.where(level > 0, jax.nn.sigmoid(-below), 0)

    return sum_over_levels(at_least, lambda x: 1 / _TOP, jnp.zeros_like(loc))

  def variance(self) -> Array:
    mean, (loc, log_scale) = self.mean(), self._full_parameters
    mass = lambda level: jnp.exp(log_mass(level, loc, log_scale))
    deviation = lambda x: (x - mean) ** 2
    return sum_over_levels(mass, deviation, jnp.zeros_like(loc))

  @property
  def _full_parameters(self) -> tuple[Array, Array]:
    full = lambda x: jnp.broadcast_to(jnp.asarray(x, self.dtype), self.shape)
    return full(self.loc), full(self.log_scale)


@distribution
class CategoricalPixels(_Pixels):
  """Independent pixels, p(x_i = k / 255) = softmax(logits_i)_k.

  Args:
    logits: `[*event, 256]`, log-probabilities up to a constant.

  Raises:
    ValueError: another number of levels.

  References:
    van den Oord, Kalchbrenner and Kavukcuoglu 2016, Pixel Recurrent Neural
    Networks, section 2.2.
  """

  logits: ArrayLike

  def __post_init__(self) -> None:
    if jnp.shape(self.logits)[-1:] != (NUM_LEVELS,):
      raise ValueError(
        f'logits: got shape {jnp.shape(self.logits)}, expected a last axis of '
        f'the {NUM_LEVELS} levels'
      )

  @property
  def shape(self) -> tuple[int, ...]:
    return jnp.shape(self.logits)[:-1]

  @property
  def log_probabilities(self) -> Array:
    return jax.nn.log_softmax(jnp.asarray(self.logits), axis=-1)

  def sample(self, key: Key) -> Array:
    logits = jnp.asarray(self.logits)
    draw = jax.random.categorical(key, logits, axis=-1) / _TOP
    return nan_where(jnp.isnan(logits).any(axis=-1), draw)

  def log_prob(self, z: Array) -> Array:
    check_event('x', z, self)
    return self._log_prob_of(*level_of(z))


def sum_over_levels(
  mass: Callable[[Array], Array], f: Callable[[Array], Any], zeros: Array
) -> Array:
  """Returns sum_k mass(k) f(k / 255), elementwise, of the shape of `zeros`.

  One level at a time: 256 values per pixel of a large image are gigabytes.
  """

  def add(k: Array, total: Array) -> Array:
    level = k.astype(zeros.dtype)
    return total + mass(level) * f(level / _TOP)

  return jax.lax.fori_loop(0, NUM_LEVELS, add, zeros)


def level_of(x: Array) -> tuple[Array, Array]:
  """Returns k = 255 x, rounded, and whether x is one of the 256 levels."""
  # As floats: 255 x wraps in the integers of a uint8.
  unit = 1 if jnp.result_type(x) == jnp.uint8 else _TOP
  scaled = unit * jnp.asarray(x, float)
  level = jnp.round(scaled)
  # In floating point k / 255 * 255 need not equal k.
  inside = jnp.abs(scaled - level) < 1e-3
  return level, inside & (level >= 0) & (level <= _TOP)


def _per_level(log_scale: Array) -> tuple[Array, Array]:
  """Returns the width of a level in scales, within exp(60), and the rest."""
  first = jnp.clip(-log_scale, -60, 60)
  # exp(90) is infinite in float32, and the gradient of an infinite end nan.
  rest = jnp.exp(jnp.clip(-log_scale - first, -60, 60))
  return jnp.exp(first) / _TOP, rest


def _in_scales(level: Array, loc: Array, width: Array, rest: Array) -> Array:
  """Returns (level / 255 - loc) / scale, bounded."""
  most = float(jnp.finfo(rest.dtype).max)
  return jnp.clip((level - _TOP * loc) * width * rest, -most, most)


def log_mass(level: Array, loc: Array, log_scale: Array) -> Array:
  """Returns the log-probability of each level k, elementwise.

  With b, c the ends of the bin in units of the scale, relative to `loc`,
  sigmoid(c) - sigmoid(b) = sigmoid(c) sigmoid(-b) (1 - exp(b - c)). The
  product is accurate in the tails, where the difference rounds to 0.
  """
  width, rest = _per_level(log_scale)  # c - b = width rest
  # Integers and halves are exact, so the end of a bin equals the start of the
  # next to the last bit at any scale.
  below = _in_scales(level - 0.5, loc, width, rest)
  above = _in_scales(level + 0.5, loc, width, rest)
  to_above = jnp.where(level < _TOP, -softplus(-above), 0)
  from_below = jnp.where(level > 0, -softplus(below), 0)
  inner = (level > 0) & (level < _TOP)
  # Beyond 60, width * rest may be denormal, and its logarithm is exact.
  rise = jnp.where(
    log_scale > 60,
    -log_scale - math.log(_TOP),
    jnp.log(-jnp.expm1(-width)),
  )
  return to_above + from_below + jnp.where(inner, rise, 0)
