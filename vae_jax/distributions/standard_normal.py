"""The noise that the normal families share."""

import math

import jax

from vae_jax.distributions.base import Distribution, event_sum, float_dtype
from vae_jax.types import Array, Key


class StandardNormalNoise(Distribution):
  """eps ~ N(0, I) of n numbers: log p(eps) = -|eps|^2/2 - n log(2 pi)/2."""

  def noise(self, key: Key) -> Array:
    dtype = float_dtype(*jax.tree.leaves(self))
    return jax.random.normal(key, self.shape, dtype)

  def noise_log_prob(self, eps: Array) -> Array:
    return event_sum(standard_normal_log_prob(eps))

  def mirror(self, eps: Array) -> Array:
    return -eps


def standard_normal_log_prob(eps: Array) -> Array:
  """Returns log N(eps_i; 0, 1) of each coordinate, in nats."""
  return -0.5 * eps**2 - 0.5 * math.log(2 * math.pi)
