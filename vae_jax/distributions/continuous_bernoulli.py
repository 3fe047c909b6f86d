"""The continuous Bernoulli distribution, a density on [0, 1]."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vae_jax.distributions._numerics import (
  absolute,
  event_sum,
  restrict_to_support,
)
from vae_jax.distributions.base import Elementwise, check_event, distribution
from vae_jax.distributions.support import UNIT_INTERVAL
from vae_jax.types import Array, ArrayLike, Key

# B_2n / (2n (2n)!), n = 1, 2, ..., with the Bernoulli numbers B.
_SERIES = (
  *(1 / 24, -1 / 2880, 1 / 181440, -1 / 9676800, 1 / 479001600),
  -691 / 15692092416000,
)
# Below this |logit| the cdf and its inverse use series, accurate to 1e-8.
_SMALL = 0.1

_Monotone = Callable[[Array, Array], Array]


@distribution
class ContinuousBernoulli(Elementwise):
  """Independent x_i in [0, 1] with a density proportional to exp(logits_i x_i).

  log p(x) = sum_i x_i logits_i - softplus(logits_i) + log C_i, where with
  lambda = sigmoid(logits), C = 2 artanh(1 - 2 lambda) / (1 - 2 lambda). It
  is computed without cancellation as h(a) - a d, h(a) = log(a / (1 - exp(-a))),
  with a = |logits| and d the distance of x from the likelier end, 0 or 1.

  Draws are z = F^-1(eps), eps ~ Uniform(0, 1), F the cdf.

  Args:
    logits: log lambda / (1 - lambda), of the event's shape.

  References:
    Loaiza-Ganem and Cunningham 2019, The Continuous Bernoulli: Fixing a
    Pervasive Error in Variational Autoencoders, section 3.
  """

  logits: ArrayLike

  support = UNIT_INTERVAL

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
    return self._from_likelier_end(eps, _quantile)

  def inverse(self, z: Array) -> Array:
    check_event('z', z, self)
    return self._from_likelier_end(z, _cdf)

  def log_prob(self, z: Array) -> Array:
    check_event('z', z, self)
    # Flat: XLA's CPU code is slow where the last axis has size 1.
    x, logits = jnp.ravel(z), jnp.ravel(self.logits)
    inside = (x >= 0) & (x <= 1)
    safe = jnp.where(inside, x, 0)  # 0 times infinity is nan.
    distance = jnp.where(logits > 0, 1 - safe, safe)
    a = absolute(logits)
    density = _log_peak(a) - a * distance
    return event_sum(restrict_to_support(inside, density, x))

  def entropy(self) -> Array:
    a = self._rate
    return event_sum(a * _slope(_log_peak_curved)(a) - _log_peak_curved(a))

  def mean(self) -> Array:
    distance = _slope(_log_peak)(self._rate)
    return jnp.where(jnp.greater(self.logits, 0), 1 - distance, distance)

  def variance(self) -> Array:
    return -_slope(_slope(_log_peak))(self._rate)

  @property
  def _rate(self) -> Array:
    return absolute(jnp.asarray(self.logits, self.dtype))

  def _from_likelier_end(self, value: Array, f: _Monotone) -> Array:
    """Returns f(value, a), mirrored about 1/2 where the logit is positive."""
    positive = jnp.greater(self.logits, 0)
    result = f(jnp.where(positive, 1 - value, value), self._rate)
    return jnp.where(positive, 1 - result, result)


def _slope(f: Callable[[Array], Array]) -> Callable[[Array], Array]:
  """Returns the derivative of an elementwise function."""
  return lambda a: jax.jvp(f, (a,), (jnp.ones_like(a),))[1]


def _log_peak(a: Array) -> Array:
  """Returns h(a) = log(a / (1 - exp(-a))), a >= 0."""
  return _log_peak_curved(a) + jnp.where(a < 1, a / 2, 0)


def _log_peak_curved(a: Array) -> Array:
  """Returns h(a) without its linear part below 1, of which a h' - h is free."""
  # Near 0 the quotient is 0 / 0 and its derivative cancels. The Taylor series
  # is accurate to 1e-12 below 1.
  small = a < 1
  near, far = jnp.where(small, a, 0), jnp.where(small, 1, a)
  series = jnp.polyval(jnp.array((*_SERIES[::-1], 0), a.dtype), near**2)
  return jnp.where(small, -series, jnp.log(far) - jnp.log1p(-jnp.exp(-far)))


def _quantile(u: Array, a: Array) -> Array:
  """Returns the u-quantile of the density prop. to exp(-a x) on [0, 1]."""
  # log(1 - u + u exp(-a)) is the cumulant generating function of Bernoulli(u)
  # at -a. Its series avoids the derivative in a, which cancels near 0.
  small = a < _SMALL
  near, far = jnp.where(small, a, 0), jnp.where(small, 1, a)
  w, skew = u * (1 - u), 1 - 2 * u
  third = w * (1 - 6 * w) / 24 - near * w * skew * (1 - 12 * w) / 120
  series = u - near * (w / 2 - near * (w * skew / 6 - near * third))
  # At u = 1 and large a the argument of the logarithm rounds to 0.
  u = jnp.minimum(u, 1 - jnp.finfo(u.dtype).eps)
  return jnp.where(small, series, -jnp.log1p(u * jnp.expm1(-far)) / far)


def _cdf(x: Array, a: Array) -> Array:
  """Returns the cdf at x of the density prop. to exp(-a x) on [0, 1]."""
  # The coefficients of the series are Bernoulli polynomials of x.
  small = a < _SMALL
  near, far = jnp.where(small, a, 0), jnp.where(small, 1, a)
  w, skew = x * (1 - x), 1 - 2 * x
  third = w**2 / 24 + near * w * skew * (1 + 3 * w) / 720
  series = x + near * (w / 2 + near * (w * skew / 12 - near * third))
  return jnp.where(small, series, jnp.expm1(-far * x) / jnp.expm1(-far))
