"""The uniform distribution on an interval."""

import math

import jax
import jax.numpy as jnp

from vae_jax.distributions._numerics import event_sum, restrict_to_support
from vae_jax.distributions.base import Elementwise, check_event, distribution
from vae_jax.types import Array, ArrayLike, Key


@distribution
class Uniform(Elementwise):
  """z = low + (high - low) eps, eps ~ Uniform(0, 1).

  Both parameters are ends of the support, so neither has a score-function
  gradient.

  Args:
    low: lower end of the support, of the event's shape.
    high: upper end of the support, of the event's shape.

  Examples:
    >>> print(f'{vj.Uniform(0.0, 2.0).entropy():.3f}')
    0.693
  """

  low: ArrayLike
  high: ArrayLike

  score_parameters = ()
  lower_bounds = (('high', 'low'),)

  @property
  def half_width(self) -> Array:
    """Returns (high - low) / 2, finite where high - low overflows."""
    return 0.5 * jnp.asarray(self.high) - 0.5 * jnp.asarray(self.low)

  @property
  def _log_width(self) -> Array:
    return jnp.log(self.half_width) + math.log(2)

  def noise(self, key: Key) -> Array:
    return jax.random.uniform(key, self.shape, self.dtype)

  def noise_log_prob(self, eps: Array) -> Array:
    return event_sum(
      restrict_to_support((eps >= 0) & (eps <= 1), jnp.zeros_like(eps), eps)
    )

  def mirror(self, eps: Array) -> Array:
    return 1 - eps

  def transform(self, eps: Array) -> Array:
    check_event('eps', eps, self)
    # The sum may round to just above `high`, where the density is 0.
    z = 2 * (0.5 * jnp.asarray(self.low) + self.half_width * eps)
    return jnp.minimum(z, self.high)

  def inverse(self, z: Array) -> Array:
    check_event('z', z, self)
    return (0.5 * z - 0.5 * jnp.asarray(self.low)) / self.half_width

  def log_prob(self, z: Array) -> Array:
    check_event('z', z, self)
    # As floats: a negative end wraps in the integers of a uint8.
    z = 1.0 * jnp.asarray(z)
    inside = (z >= self.low) & (z <= self.high)
    return event_sum(restrict_to_support(inside, -self._log_width, z))

  def entropy(self) -> Array:
    return event_sum(jnp.broadcast_to(self._log_width, self.shape))

  def mean(self) -> Array:
    middle = 0.5 * jnp.asarray(self.low) + 0.5 * jnp.asarray(self.high)
    return jnp.broadcast_to(middle, self.shape)

  def variance(self) -> Array:
    return jnp.broadcast_to(self.half_width**2 / 3, self.shape)
