"""The normal distribution with independent coordinates."""

import math

import jax
import jax.numpy as jnp

from vae_jax.distributions.base import (
  Distribution,
  broadcast_shape,
  check_event,
  distribution,
  event_sum,
)
from vae_jax.types import Array, ArrayLike, Key

_LOG_2_PI = math.log(2 * math.pi)


@distribution
class Normal(Distribution):
  r"""N(loc, exp(log_scale)^2), coordinates independent.

  z = loc + exp(log_scale) eps, eps ~ N(0, I), and

  log p(z) = sum_i -eps_i^2 / 2 - log_scale_i - log(2 pi) / 2.

  Args:
    loc: the mean, of the event's shape.
    log_scale: log of the standard deviation, of the event's shape or `[]`.
      The logarithm is carried because float32 `softplus(-90)` is exactly 0.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, eq. (9), (10).
  """

  loc: ArrayLike
  log_scale: ArrayLike

  @property
  def shape(self) -> tuple[int, ...]:
    return broadcast_shape(self.loc, self.log_scale)

  def noise(self, key: Key) -> Array:
    dtype = jnp.result_type(float, self.loc, self.log_scale)
    return jax.random.normal(key, self.shape, dtype)

  def transform(self, eps: Array) -> Array:
    check_event('eps', eps, self)
    return jnp.asarray(self.loc) + jnp.exp(self.log_scale) * eps

  def inverse(self, z: Array) -> Array:
    check_event('z', z, self)
    return (z - self.loc) * jnp.exp(-jnp.asarray(self.log_scale))

  def log_prob(self, z: Array) -> Array:
    eps = self.inverse(z)
    return event_sum(-0.5 * eps**2 - self.log_scale - 0.5 * _LOG_2_PI)

  def entropy(self) -> Array:
    log_scale = jnp.broadcast_to(self.log_scale, self.shape)
    return event_sum(log_scale + 0.5 * (1 + _LOG_2_PI))

  def mean(self) -> Array:
    return jnp.broadcast_to(self.loc, self.shape)
