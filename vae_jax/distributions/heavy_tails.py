"""Location-scale families with heavy tails: Cauchy and Student's t."""

import math

import jax
import jax.numpy as jnp

from vae_jax.distributions._gamma_draws import log_gamma_ratio
from vae_jax.distributions._numerics import (
  event_sum,
  log1p_square,
  rescale,
)
from vae_jax.distributions.base import distribution
from vae_jax.distributions.differentiability import raise_on_gradient
from vae_jax.distributions.location_scale import LocationScale
from vae_jax.types import Array, ArrayLike, Key

# Above it a draw of Student's t is expanded about a normal one.
_MANY_DF = 1000.0
# Draws of a small df are bounded by exp(70), so that they and their derivatives
# are finite in float32.
_MOST = 70.0


class _HeavyTailed(LocationScale):
  """A density finite far out, where eps^2 and even eps overflow."""

  def _density(self, x: Array, log_scale: ArrayLike) -> Array:
    """Returns log p(x exp(-log_scale)) of each coordinate."""
    raise NotImplementedError

  def _unit_log_prob(self, eps: Array) -> Array:
    return self._density(eps, 0.0)

  def log_prob(self, z: Array) -> Array:
    log_scale = jnp.asarray(self.log_scale)
    return event_sum(self._density(self._deviation(z), log_scale) - log_scale)


@distribution
class Cauchy(_HeavyTailed):
  """Cauchy(loc, exp(log_scale)): log p(eps) = -log(pi (1 + eps^2)).

  Its mean and variance do not exist: both are nan.

  Args:
    loc: the median, of the event's shape.
    log_scale: log of the half width at half maximum, of the event's shape or
      `[]`.

  Examples:
    >>> print(f'{vj.Cauchy(0.0, 0.0).log_prob(0.0):.3f}')  # -log pi
    -1.145
  """

  loc: ArrayLike
  log_scale: ArrayLike

  _unit_mean = math.nan
  _unit_variance = math.nan
  _unit_entropy = math.log(4 * math.pi)

  moment_order = 1.0
  has_moments = False

  def noise(self, key: Key) -> Array:
    return jax.random.cauchy(key, self.shape, self.dtype)

  def _density(self, x: Array, log_scale: ArrayLike) -> Array:
    return -math.log(math.pi) - log1p_square(x, log_scale)


@distribution
class StudentT(_HeavyTailed):
  """Student's t with df degrees of freedom, at loc, of scale exp(log_scale).

  log p(eps) = -(df + 1)/2 log(1 + eps^2/df) - log(df)/2 - log B(1/2, df/2).

  The distribution of eps depends on df, so differentiating `noise` in df
  raises. `reparameterise` differentiates its draws implicitly.

  Args:
    df: degrees of freedom, above 0, of the event's shape or `[]`; at inf it is
      the normal distribution.
    loc: the median, of the event's shape.
    log_scale: log of the scale, of the event's shape or `[]`.

  Examples:
    >>> print(f'{vj.StudentT(5.0, 0.0, 0.0).variance():.3f}')  # df / (df - 2)
    1.667
  """

  df: ArrayLike
  loc: ArrayLike
  log_scale: ArrayLike

  lower_bounds = (('df', 0),)
  family_parameters = ('df',)

  @property
  def moment_order(self) -> ArrayLike:
    return self.df

  def noise(self, key: Key) -> Array:
    message = 'StudentT.noise has no gradient in df: use `vj.reparameterise`'
    return self._noise(key, raise_on_gradient(self.df, message))

  def draw(self, key: Key) -> Array:
    return self.transform(self._noise(key, self.df))

  def _noise(self, key: Key, df: ArrayLike) -> Array:
    df = jnp.broadcast_to(jnp.asarray(df, self.dtype), self.shape)
    normal_key, gamma_key = jax.random.split(key)
    n = jax.random.normal(normal_key, self.shape, self.dtype)
    half = 0.5 * jnp.minimum(df, _MANY_DF)
    log_ratio = -0.5 * log_gamma_ratio(gamma_key, half)
    few = n * jnp.exp(jnp.minimum(log_ratio, _MOST))
    return jnp.where(df < _MANY_DF, few, _near_normal(n, df))

  def _density(self, x: Array, log_scale: ArrayLike) -> Array:
    df = jnp.asarray(self.df, self.dtype)
    # (df + 1)/2 log(1 + eps^2/df) is a sum of df/2 and 1/2 times the log. Near
    # the centre the first is eps^2/2 times log(1 + y)/y, y = eps^2/df, which
    # is right at df = inf.
    inverse_root, shrink = jax.lax.rsqrt(df), -jnp.asarray(log_scale)
    near = jnp.abs(rescale(x, shrink) * inverse_root) < 0.7
    eps = rescale(jnp.where(near, x, 0), shrink)
    y = (eps * inverse_root) ** 2
    log_one_plus = log1p_square(x, log_scale + 0.5 * jnp.log(df))
    far = 0.5 * jnp.where(near, 1, df) * log_one_plus
    main = jnp.where(near, 0.5 * eps**2 * _log1p_quotient(y), far)
    normaliser = 0.5 * math.log(2 * math.pi) - _half_step(2 / df)[0]
    return -main - 0.5 * log_one_plus - normaliser

  def entropy(self) -> Array:
    u = 2 / jnp.asarray(self.df, self.dtype)
    step, slope = _half_step(u)
    spread = 0.5 + 0.25 * u - (1 + 0.5 * u) * (u * slope)
    unit = spread + 0.5 * math.log(2 * math.pi) - step
    return event_sum(jnp.broadcast_to(unit + self.log_scale, self.shape))

  def mean(self) -> Array:
    mean = jnp.where(jnp.asarray(self.df) > 1, jnp.asarray(self.loc), jnp.nan)
    return jnp.broadcast_to(mean, self.shape)

  def variance(self) -> Array:
    df = jnp.asarray(self.df)
    unit = 1 + 2 / jnp.where(df > 2, df - 2, 1.0)
    unit = jnp.where(df > 2, unit, jnp.where(df > 1, jnp.inf, jnp.nan))
    scale = jnp.exp(2 * jnp.asarray(self.log_scale))
    return jnp.broadcast_to(unit * scale, self.shape)


def _near_normal(n: Array, df: Array) -> Array:
  """Returns the quantile of Student's t at the normal quantile n.

  The error is below 1e-8 from 1000 degrees of freedom.

  References:
    Abramowitz and Stegun 1964, eq. (26.7.5).
  """
  w = 1 / df
  first = (n**3 + n) / 4
  second = (5 * n**5 + 16 * n**3 + 3 * n) / 96
  third = (3 * n**7 + 19 * n**5 + 17 * n**3 - 15 * n) / 384
  return n + w * (first + w * (second + w * third))


def _log1p_quotient(y: Array) -> Array:
  """Returns log(1 + y) / y, 0 <= y < 1/2."""
  # log(1 + y) = 2 artanh(s); the quotient itself has a derivative that cancels.
  s = y / (2 + y)
  series = jnp.zeros_like(s)
  for n in range(11, -1, -1):
    series = series * s**2 + 1 / (2 * n + 1)
  return 2 / (2 + y) * series


def _half_step(u: Array) -> tuple[Array, Array]:
  """Returns H and dH/du, H = log(Gamma(x + 1/2) / Gamma(x) / sqrt(x)), x = 1/u.

  H tends to 0 as u does. Stirling's series at x + 8, and eight steps of
  Gamma(x + 1) = x Gamma(x), have no difference of large numbers.
  """

  def value(u: Array) -> Array:
    w = u / (1 + 8 * u)
    series = w * (
      -1 / 8
      + w**2
      * (1 / 192 - w**2 * (1 / 640 - w**2 * (17 / 14336 - w**2 * 31 / 18432)))
    )
    steps = jnp.arange(8, dtype=u.dtype).reshape(8, *(1,) * u.ndim)
    steps_back = jnp.sum(
      jnp.log1p(0.5 * u[None] / (1 + u[None] * steps)), axis=0
    )
    return 0.5 * jnp.log1p(8 * u) + series - steps_back

  return jax.jvp(value, (u,), (jnp.ones_like(u),))
