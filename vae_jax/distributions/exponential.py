"""Families on a half-line, each z = g(phi, eps) with eps ~ Exponential(1).

`log_prob` is -inf outside the support.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from vae_jax.distributions._numerics import (
  EULER_GAMMA,
  clip_above_zero,
  event_sum,
  float_dtype,
  log_gamma_remainder,
  rescale,
  restrict_to_support,
)
from vae_jax.distributions.base import Elementwise, check_event, distribution
from vae_jax.distributions.support import POSITIVE
from vae_jax.types import Array, ArrayLike, Key


class _ExponentialNoise(Elementwise):
  """eps_i ~ Exponential(1), log p(eps) = -eps."""

  def noise(self, key: Key) -> Array:
    return jax.random.exponential(key, self.shape, self.dtype)

  def noise_log_prob(self, eps: Array) -> Array:
    return event_sum(restrict_to_support(eps >= 0, -eps, eps))

  def mirror(self, eps: Array) -> Array:
    # Maps the quantile u = 1 - exp(-eps) to 1 - u; a float32 eps may be 0.
    eps = jnp.maximum(eps, jnp.finfo(eps.dtype).eps / 4)
    return -jnp.log(-jnp.expm1(-eps))


@distribution
class Exponential(_ExponentialNoise):
  """z = exp(-log_rate) eps, eps ~ Exponential(1).

  log p(z) = log_rate - exp(log_rate) z, z >= 0.

  Args:
    log_rate: log of the rate, of the event's shape.

  Examples:
    >>> print(vj.Exponential(0.0).entropy())
    1.0
  """

  log_rate: ArrayLike

  support = POSITIVE

  def transform(self, eps: Array) -> Array:
    check_event('eps', eps, self)
    return rescale(eps, -jnp.asarray(self.log_rate))

  def inverse(self, z: Array) -> Array:
    check_event('z', z, self)
    return rescale(z, self.log_rate)

  def log_prob(self, z: Array) -> Array:
    eps = self.inverse(z)
    return event_sum(
      restrict_to_support(eps >= 0, jnp.asarray(self.log_rate) - eps, eps)
    )

  def entropy(self) -> Array:
    return event_sum(1 - jnp.asarray(self.log_rate))

  def mean(self) -> Array:
    return jnp.exp(-jnp.asarray(self.log_rate))

  def variance(self) -> Array:
    return jnp.exp(-2 * jnp.asarray(self.log_rate))


@distribution
class Weibull(_ExponentialNoise):
  """z = exp(log_scale) eps^(1/k), eps ~ Exponential(1), k the concentration.

  log p(z) = log k - log_scale + (k - 1) log y - y^k, y = z exp(-log_scale).

  Args:
    concentration: k, above 0, of the event's shape or `[]`.
    log_scale: log of the scale, of the event's shape or `[]`.
  """

  concentration: ArrayLike
  log_scale: ArrayLike

  lower_bounds = (('concentration', 0),)
  support = POSITIVE

  def transform(self, eps: Array) -> Array:
    check_event('eps', eps, self)
    # float32 noise may be exactly 0, where the log has no finite gradient.
    log_z = jnp.log(clip_above_zero(eps)) / self.concentration + self.log_scale
    return clip_above_zero(jnp.exp(log_z))

  def inverse(self, z: Array) -> Array:
    check_event('z', z, self)
    scaled = jnp.log(z) - self.log_scale
    return jnp.exp(jnp.asarray(self.concentration) * scaled)

  def log_prob(self, z: Array) -> Array:
    check_event('z', z, self)
    k, inside = jnp.asarray(self.concentration), (z > 0) & (z < jnp.inf)
    log_y = jnp.log(jnp.where(inside, z, 1)) - self.log_scale
    density = jnp.log(k) + (k - 1) * log_y - self.log_scale
    return event_sum(
      restrict_to_support(inside, density - jnp.exp(k * log_y), z)
    )

  def entropy(self) -> Array:
    k = jnp.asarray(self.concentration)
    unit = EULER_GAMMA * (1 - 1 / k) - jnp.log(k) + 1
    return event_sum(jnp.broadcast_to(unit + self.log_scale, self.shape))

  def mean(self) -> Array:
    log_mean = gammaln(1 + 1 / jnp.asarray(self.concentration))
    return jnp.broadcast_to(jnp.exp(self.log_scale + log_mean), self.shape)

  def variance(self) -> Array:
    # With x = 1/k, E[z^2] / E[z]^2 = exp(d), d = log Gamma(1 + 2 x)
    # - 2 log Gamma(1 + x), where the terms linear in a small x cancel.
    x = 1 / jnp.asarray(self.concentration)
    curved = log_gamma_remainder(2 * x) - 2 * log_gamma_remainder(x)
    d = curved + jnp.log1p(x**2 / (1 + 2 * x))
    root = jnp.exp(self.log_scale + 0.5 * gammaln(1 + 2 * x))
    return jnp.broadcast_to(root * -jnp.expm1(-d) * root, self.shape)


@distribution
class Rayleigh(_ExponentialNoise):
  """z = exp(log_scale) sqrt(2 eps), eps ~ Exponential(1).

  log p(z) = log z - 2 log_scale - z^2 exp(-2 log_scale) / 2, z > 0.

  Args:
    log_scale: log of the scale (the mode), of the event's shape.

  Examples:
    >>> print(f'{vj.Rayleigh(0.0).mean():.3f}')  # sqrt(pi / 2)
    1.253
  """

  log_scale: ArrayLike

  support = POSITIVE

  def transform(self, eps: Array) -> Array:
    check_event('eps', eps, self)
    return rescale(jnp.sqrt(2 * clip_above_zero(eps)), self.log_scale)

  def inverse(self, z: Array) -> Array:
    check_event('z', z, self)
    return 0.5 * rescale(z, -jnp.asarray(self.log_scale)) ** 2

  def log_prob(self, z: Array) -> Array:
    check_event('z', z, self)
    inside = (z > 0) & (z < jnp.inf)
    safe, log_scale = jnp.where(inside, z, 1), jnp.asarray(self.log_scale)
    density = jnp.log(safe) - 2 * log_scale - self.inverse(safe)
    return event_sum(restrict_to_support(inside, density, z))

  def entropy(self) -> Array:
    unit = 1 + 0.5 * EULER_GAMMA - 0.5 * math.log(2)
    return event_sum(jnp.asarray(self.log_scale) + unit)

  def mean(self) -> Array:
    return jnp.exp(self.log_scale) * math.sqrt(0.5 * math.pi)

  def variance(self) -> Array:
    return jnp.exp(2 * jnp.asarray(self.log_scale)) * (2 - 0.5 * math.pi)


@distribution
class Pareto(_ExponentialNoise):
  """z = exp(log_scale + eps/a), eps ~ Exponential(1), a the concentration.

  log p(z) = log a + a log_scale - (a + 1) log z, z >= exp(log_scale).

  The scale is the lower end of the support, so it has no score-function
  gradient.

  Args:
    concentration: a, above 0, of the event's shape or `[]`.
    log_scale: log of the least z, of the event's shape or `[]`.
  """

  concentration: ArrayLike
  log_scale: ArrayLike

  score_parameters = ('concentration',)
  lower_bounds = (('concentration', 0),)

  @property
  def moment_order(self) -> ArrayLike:
    return self.concentration

  def transform(self, eps: Array) -> Array:
    check_event('eps', eps, self)
    return jnp.exp(eps / self.concentration + self.log_scale)

  def inverse(self, z: Array) -> Array:
    check_event('z', z, self)
    return jnp.asarray(self.concentration) * (jnp.log(z) - self.log_scale)

  def log_prob(self, z: Array) -> Array:
    check_event('z', z, self)
    # Rounding may move a draw at the end of the support to just outside.
    slack = 8 * jnp.finfo(float_dtype(z)).eps
    log_z = jnp.log(jnp.where(z > 0, z, 1))
    beyond = log_z - self.log_scale
    inside = (z > 0) & (beyond >= -slack * (1 + jnp.abs(log_z)))
    a = jnp.asarray(self.concentration)
    return event_sum(
      restrict_to_support(inside, jnp.log(a) - a * beyond - log_z, z)
    )

  def entropy(self) -> Array:
    a = jnp.asarray(self.concentration)
    unit = 1 + 1 / a - jnp.log(a)
    return event_sum(jnp.broadcast_to(unit + self.log_scale, self.shape))

  def mean(self) -> Array:
    a, scale = jnp.asarray(self.concentration), jnp.exp(self.log_scale)
    mean = scale * (1 + 1 / jnp.where(a <= 1, 1, a - 1))
    return jnp.broadcast_to(jnp.where(a <= 1, jnp.inf, mean), self.shape)

  def variance(self) -> Array:
    a, scale = jnp.asarray(self.concentration), jnp.exp(self.log_scale)
    safe = jnp.where(a <= 2, 3, a)
    variance = (scale / (safe - 1)) ** 2 * (1 + 2 / (safe - 2))
    return jnp.broadcast_to(jnp.where(a <= 2, jnp.inf, variance), self.shape)
