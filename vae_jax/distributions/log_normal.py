"""The log-normal distribution."""

import math

import jax.numpy as jnp

from vae_jax.distributions._numerics import (
  event_sum,
  rescale,
  restrict_to_support,
)
from vae_jax.distributions.base import Elementwise, check_event, distribution
from vae_jax.distributions.standard_normal import (
  StandardNormalNoise,
  standard_normal_log_prob,
)
from vae_jax.distributions.support import POSITIVE
from vae_jax.types import Array, ArrayLike


@distribution
class LogNormal(StandardNormalNoise, Elementwise):
  """z = exp(loc + exp(log_scale) eps), eps ~ N(0, I).

  log p(z) = -eps^2/2 - log_scale - log(2 pi)/2 - log z, z > 0.

  Args:
    loc: mean of log z, of the event's shape.
    log_scale: log of the standard deviation of log z, of the event's shape
      or `[]`.

  Examples:
    >>> print(f'{vj.LogNormal(0.0, 0.0).mean():.3f}')  # exp(1 / 2)
    1.649
  """

  loc: ArrayLike
  log_scale: ArrayLike

  support = POSITIVE

  def transform(self, eps: Array) -> Array:
    check_event('eps', eps, self)
    return jnp.exp(jnp.asarray(self.loc) + rescale(eps, self.log_scale))

  def inverse(self, z: Array) -> Array:
    check_event('z', z, self)
    return rescale(jnp.log(z) - self.loc, -jnp.asarray(self.log_scale))

  def log_prob(self, z: Array) -> Array:
    check_event('z', z, self)
    inside = z > 0
    safe = jnp.where(inside, z, 1)
    density = standard_normal_log_prob(self.inverse(safe))
    density = density - self.log_scale - jnp.log(safe)
    return event_sum(restrict_to_support(inside, density, z))

  def entropy(self) -> Array:
    unit = 0.5 * (1 + math.log(2 * math.pi))
    terms = jnp.asarray(self.loc) + self.log_scale + unit
    return event_sum(jnp.broadcast_to(terms, self.shape))

  def mean(self) -> Array:
    variance = jnp.exp(2 * jnp.asarray(self.log_scale))
    return jnp.exp(jnp.asarray(self.loc) + 0.5 * variance)

  def variance(self) -> Array:
    # exp(2 loc + v) (exp(v) - 1) is d^2 (1 - exp(-v)) / v, d = exp(loc + v)
    # sqrt(v): its factors overflow and underflow where it does not.
    log_scale = jnp.asarray(self.log_scale)
    v = jnp.exp(jnp.minimum(2 * log_scale, 60.0))
    small = v < 1e-10
    safe = jnp.where(small, 1, v)
    damping = jnp.where(small, 1 - v / 2, -jnp.expm1(-safe) / safe)
    deviation = jnp.exp(jnp.asarray(self.loc) + log_scale + v)
    return deviation * damping * deviation
