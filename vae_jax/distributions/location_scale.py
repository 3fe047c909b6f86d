"""Location-scale families: z = loc + exp(log_scale) eps, elementwise."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.special import betaln, digamma

from vae_jax.distributions._numerics import EULER_GAMMA, event_sum, softplus
from vae_jax.distributions.base import Elementwise, check_event, distribution
from vae_jax.distributions.differentiability import raise_on_gradient
from vae_jax.distributions.standard_normal import standard_normal_log_prob
from vae_jax.types import Array, ArrayLike, Key


class LocationScale(Elementwise):
  """z = loc + exp(log_scale) eps, where p(eps) has no parameters.

  log p(z) = sum_i log p(eps_i) - log_scale_i.

  The scale is parameterised by its logarithm: float32 `softplus(-90)` is
  exactly 0. A subclass defines `noise` and what begins with `_unit`.
  """

  loc: ArrayLike
  log_scale: ArrayLike

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
    return jnp.asarray(self.loc) + jnp.exp(self.log_scale) * eps

  def inverse(self, z: Array) -> Array:
    check_event('z', z, self)
    log_scale = jnp.asarray(self.log_scale)
    # Clipped so that z = loc gives eps = 0, not nan, at denormal scales.
    most = 0.99 * jnp.log(jnp.finfo(jnp.result_type(log_scale, float)).max)
    return (z - self.loc) * jnp.exp(jnp.minimum(-log_scale, most))

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
  """Logistic(loc, exp(log_scale)): log p(eps) = -eps - 2 softplus(-eps).

  Args:
    loc: the mean, of the event's shape.
    log_scale: log of the scale, of the event's shape or `[]`.
  """

  loc: ArrayLike
  log_scale: ArrayLike

  _unit_variance = math.pi**2 / 3
  _unit_entropy = 2.0

  def noise(self, key: Key) -> Array:
    return jax.random.logistic(key, self.shape, self.dtype)

  def _unit_log_prob(self, eps: Array) -> Array:
    return -eps - 2 * softplus(-eps)


@distribution
class Cauchy(LocationScale):
  """Cauchy(loc, exp(log_scale)): log p(eps) = -log(pi (1 + eps^2)).

  Its mean and variance do not exist: both are nan.

  Args:
    loc: the median, of the event's shape.
    log_scale: log of the half width at half maximum, of the event's shape or
      `[]`.
  """

  loc: ArrayLike
  log_scale: ArrayLike

  _unit_mean = math.nan
  _unit_variance = math.nan
  _unit_entropy = math.log(4 * math.pi)

  def noise(self, key: Key) -> Array:
    return jax.random.cauchy(key, self.shape, self.dtype)

  def _unit_log_prob(self, eps: Array) -> Array:
    return -math.log(math.pi) - jnp.log1p(eps**2)


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
    return -eps - jnp.exp(-eps)


@distribution
class StudentT(LocationScale):
  """Student's t with df degrees of freedom, at loc, of scale exp(log_scale).

  log p(eps) = -(df + 1)/2 log(1 + eps^2/df) - log(df)/2 - log B(1/2, df/2).

  The distribution of eps depends on df, so differentiating `noise` in df
  raises. `reparameterise` differentiates its draws implicitly.

  Args:
    df: degrees of freedom, above 0, of the event's shape or `[]`.
    loc: the median, of the event's shape.
    log_scale: log of the scale, of the event's shape or `[]`.
  """

  df: ArrayLike
  loc: ArrayLike
  log_scale: ArrayLike

  def noise(self, key: Key) -> Array:
    message = 'StudentT.noise has no gradient in df: use `vj.reparameterise`'
    return self._noise(key, raise_on_gradient(self.df, message))

  def draw(self, key: Key) -> Array:
    return self.transform(self._noise(key, self.df))

  def _noise(self, key: Key, df: ArrayLike) -> Array:
    df = jnp.broadcast_to(jnp.asarray(df, self.dtype), self.shape)
    return jax.random.t(key, df, self.shape, self.dtype)

  def _unit_log_prob(self, eps: Array) -> Array:
    df = jnp.asarray(self.df)
    normaliser = 0.5 * jnp.log(df) + betaln(0.5, 0.5 * df)
    return -0.5 * (df + 1) * jnp.log1p(eps**2 / df) - normaliser

  def entropy(self) -> Array:
    df = jnp.asarray(self.df)
    spread = 0.5 * (df + 1) * _digamma_step(0.5 * df)
    unit = spread + 0.5 * jnp.log(df) + betaln(0.5, 0.5 * df)
    return event_sum(jnp.broadcast_to(unit + self.log_scale, self.shape))

  def mean(self) -> Array:
    mean = jnp.where(jnp.asarray(self.df) > 1, jnp.asarray(self.loc), jnp.nan)
    return jnp.broadcast_to(mean, self.shape)

  def variance(self) -> Array:
    df = jnp.asarray(self.df)
    unit = df / jnp.where(df > 2, df - 2, 1.0)
    unit = jnp.where(df > 2, unit, jnp.where(df > 1, jnp.inf, jnp.nan))
    scale = jnp.exp(2 * jnp.asarray(self.log_scale))
    return jnp.broadcast_to(unit * scale, self.shape)


def _digamma_step(x: Array) -> Array:
  """Returns digamma(x + 1/2) - digamma(x)."""
  # For large x the difference, about 1 / 2x, is lost in float32.
  large = x > 10
  y = 1 / jnp.where(large, x, 10)
  series = y / 2 + y**2 / 8 - y**4 / 64 + y**6 / 128
  small = jnp.where(large, 1, x)
  return jnp.where(large, series, digamma(small + 0.5) - digamma(small))
