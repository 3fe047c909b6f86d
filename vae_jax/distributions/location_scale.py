"""Location-scale families: z = loc + exp(log_scale) eps, elementwise."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp

from vae_jax.distributions._numerics import (
  EULER_GAMMA,
  absolute,
  event_sum,
  rescale,
  softplus,
)
from vae_jax.distributions.base import Elementwise, check_event, distribution
from vae_jax.distributions.standard_normal import standard_normal_log_prob
from vae_jax.distributions.support import REALS
from vae_jax.types import Array, ArrayLike, Key


class LocationScale(Elementwise):
  """z = loc + exp(log_scale) eps, where p(eps) has no parameters.

  log p(z) = sum_i log p(eps_i) - log_scale_i.

  The scale is parameterised by its logarithm: float32 `softplus(-90)` is
  exactly 0. A subclass defines `noise` and what begins with `_unit`.
  """

  loc: ArrayLike
  log_scale: ArrayLike

  support = REALS

  _unit_mean: ClassVar[float] = 0.0
  _unit_variance: ClassVar[float]
  _unit_entropy: ClassVar[float]

  def _unit_log_prob(self, eps: Array) -> Array:
    """Returns log p(eps) of each coordinate."""
    raise NotImplementedError

  def noise_log_prob(self, eps: Array) -> Array:
    return event_sum(self._unit_log_prob(eps))

  def mirror(self, eps: Array) -> Array:
    return -eps

  def transform(self, eps: Array) -> Array:
    check_event('eps', eps, self)
    return jnp.asarray(self.loc) + rescale(eps, self.log_scale)

  def inverse(self, z: Array) -> Array:
    return rescale(self._deviation(z), -jnp.asarray(self.log_scale))

  def _deviation(self, z: Array) -> Array:
    check_event('z', z, self)
    # Differences of unsigned integers wrap.
    return 1.0 * jnp.asarray(z) - self.loc

  def log_prob(self, z: Array) -> Array:
    return event_sum(self._unit_log_prob(self.inverse(z)) - self.log_scale)

  def entropy(self) -> Array:
    log_scale = jnp.broadcast_to(self.log_scale, self.shape)
    return event_sum(log_scale + self._unit_entropy)

  def mean(self) -> Array:
    shift = jnp.exp(self.log_scale) * self._unit_mean if self._unit_mean else 0
    return jnp.broadcast_to(jnp.asarray(self.loc) + shift, self.shape)

  def variance(self) -> Array:
    scale = jnp.broadcast_to(self.log_scale, self.shape)
    return jnp.exp(2 * scale) * self._unit_variance


@distribution
class Normal(LocationScale):
  r"""N(loc, exp(log_scale)^2), independent dimensions.

  log p(eps) = -eps^2 / 2 - log(2 pi) / 2.

  Args:
    loc: the mean, of the event's shape.
    log_scale: log of the standard deviation, of the event's shape or `[]`.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, eq. (9), (10).

  Examples:
    >>> q = vj.Normal(jnp.zeros(2), 0.0)
    >>> print(f'{q.log_prob(jnp.zeros(2)):.3f} {q.entropy():.3f}')
    -1.838 2.838
  """

  loc: ArrayLike
  log_scale: ArrayLike

  _unit_variance = 1.0
  _unit_entropy = 0.5 * (1 + math.log(2 * math.pi))

  def noise(self, key: Key) -> Array:
    return jax.random.normal(key, self.shape, self.dtype)

  def _unit_log_prob(self, eps: Array) -> Array:
    return standard_normal_log_prob(eps)


@distribution
class Laplace(LocationScale):
  """Laplace(loc, exp(log_scale)): log p(eps) = -|eps| - log 2.

  Args:
    loc: the mean, of the event's shape.
    log_scale: log of the scale b, of the event's shape or `[]`.

  Examples:
    >>> q = vj.Laplace(0.0, 0.0)
    >>> print(f'{q.log_prob(0.0):.3f} {q.entropy():.3f}')
    -0.693 1.693
  """

  loc: ArrayLike
  log_scale: ArrayLike

  _unit_variance = 2.0
  _unit_entropy = 1 + math.log(2)

  def noise(self, key: Key) -> Array:
    return jax.random.laplace(key, self.shape, self.dtype)

  def _unit_log_prob(self, eps: Array) -> Array:
    return -jnp.abs(eps) - math.log(2)


@distribution
class Logistic(LocationScale):
  """Logistic(loc, exp(log_scale)): log p(eps) = -a - 2 softplus(-a), a = |eps|.

  Args:
    loc: the mean, of the event's shape.
    log_scale: log of the scale, of the event's shape or `[]`.

  Examples:
    >>> q = vj.Logistic(0.0, 0.0)
    >>> print(f'{q.log_prob(0.0):.3f} {q.entropy():.3f}')
    -1.386 2.000
  """

  loc: ArrayLike
  log_scale: ArrayLike

  _unit_variance = math.pi**2 / 3
  _unit_entropy = 2.0

  def noise(self, key: Key) -> Array:
    return jax.random.logistic(key, self.shape, self.dtype)

  def _unit_log_prob(self, eps: Array) -> Array:
    a = absolute(eps)
    return -a - 2 * softplus(-a)


def mirror_gumbel(eps: Array) -> Array:
  """Returns the Gumbel quantile of 1 - u, where eps is the quantile of u."""
  # u = exp(-exp(-eps)); float32 rounds 1 - u to 1 in the lower tail.
  info = jnp.finfo(eps.dtype)
  mirrored = jnp.clip(-jnp.expm1(-jnp.exp(-eps)), info.tiny, 1 - info.eps / 2)
  return -jnp.log(-jnp.log(mirrored))


@distribution
class Gumbel(LocationScale):
  """Gumbel(loc, exp(log_scale)): log p(eps) = -eps - exp(-eps).

  Args:
    loc: the mode, of the event's shape.
    log_scale: log of the scale, of the event's shape or `[]`.

  Examples:
    >>> print(f'{vj.Gumbel(0.0, 0.0).mean():.3f}')
    0.577
  """

  loc: ArrayLike
  log_scale: ArrayLike

  _unit_mean = EULER_GAMMA
  _unit_variance = math.pi**2 / 6
  _unit_entropy = 1 + EULER_GAMMA

  def noise(self, key: Key) -> Array:
    return jax.random.gumbel(key, self.shape, self.dtype)

  def mirror(self, eps: Array) -> Array:
    return mirror_gumbel(eps)

  def _unit_log_prob(self, eps: Array) -> Array:
    # Finite: at -infinity the terms are infinity minus infinity.
    eps = jnp.maximum(eps, jnp.finfo(eps.dtype).min)
    return -eps - jnp.exp(-eps)
