"""Standard normal noise, shared by the normal families."""

import math

import jax

from vae_jax.distributions._numerics import event_sum, float_dtype
from vae_jax.distributions.base import Distribution
from vae_jax.distributions.support import REALS
from vae_jax.types import Array, Key


class StandardNormalNoise(Distribution):
  """eps ~ N(0, I) in n dimensions: log p(eps) = -|eps|^2/2 - n log(2 pi)/2."""

  support = REALS

  def noise(self, key: Key) -> Array:
    dtype = float_dtype(*jax.tree.leaves(self))
    return jax.random.normal(key, self.shape, dtype)

  def noise_log_prob(self, eps: Array) -> Array:
    return event_sum(standard_normal_log_prob(eps))

  def mirror(self, eps: Array) -> Array:
    return -eps


def standard_normal_log_prob(eps: Array) -> Array:
  """Returns log N(eps_i; 0, 1) per dimension, in nats."""
  return -0.5 * eps**2 - 0.5 * math.log(2 * math.pi)
