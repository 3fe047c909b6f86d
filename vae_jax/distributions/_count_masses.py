"""Log-probabilities of counts, in float32 at any mean and dispersion.

With Stirling's formula the terms of order x cancel on paper. The rest is a
deviance, zero where the mean is x, and remainders R of `_stirling`. Gradients
are closed forms, because those of each term would cancel in float32.
"""

import math

import jax
import jax.numpy as jnp

from vae_jax.distributions._numerics import exponential_remainder, softplus
from vae_jax.distributions._stirling import (
  HALF_LOG_TWO_PI,
  log1p_minus,
  stirling_remainder,
)
from vae_jax.types import Array

# log 2 = _LOG_2 + _REST; _LOG_2 has 9 bits, so that its multiples are exact.
_LOG_2 = 355 / 512
_REST = math.log(2) - _LOG_2
# Above it a negative binomial is a Poisson to the last bit of a float64.
_MOST_LOG_DISPERSION = 70.0
# Below it log(1 + x / r) is log(x / r), and r R'(r) is -1/2.
_LEAST_LOG_DISPERSION = -40.0
# exp(89) is infinite in float32. The slope at a mean far above r is r.
_MOST_LOG_MEAN = 80.0

_Pair = tuple[Array, Array]
_Triple = tuple[Array, Array, Array]


def _log_excess(log_mean: Array, x: Array) -> Array:
  """Returns t = log_mean - log x, x >= 1, accurate where the two are close.

  float32 rounds log 1e6 by 5e-7, an error of a million times as much in the
  log-probability. Here log x = e log 2 + log y, y about 1.
  """
  y, exponent = jnp.frexp(x)
  low = y < 0.7
  y = jnp.where(low, 2 * y, y)
  e = (exponent - low.astype(exponent.dtype)).astype(x.dtype)
  return (log_mean - e * _LOG_2) - (e * _REST + jnp.log(y))


def _difference(log_mean: Array, x: Array) -> Array:
  """Returns exp(log_mean) - x, with relative accuracy where they are close."""
  above = jnp.maximum(x, 1)
  near = above * jnp.expm1(_log_excess(log_mean, above))
  return jnp.where(x > 0, near, jnp.exp(log_mean))


@jax.custom_jvp
def poisson_log_mass(log_mean: Array, x: Array) -> Array:
  """Returns log p(x) of a Poisson of mean exp(log_mean), elementwise.

  With t = log_mean - log x, x >= 1, it is

  -x (exp(t) - 1 - t) - log(2 pi x) / 2 - R(x).
  """
  above = jnp.maximum(x, 1)
  deviance = above * exponential_remainder(_log_excess(log_mean, above))
  rest = 0.5 * jnp.log(above) + HALF_LOG_TWO_PI + stirling_remainder(above)
  return jnp.where(x > 0, -deviance - rest, -jnp.exp(log_mean))


@poisson_log_mass.defjvp
def _poisson_jvp(primals: _Pair, tangents: _Pair) -> _Pair:
  slope = -_difference(*primals)
  return poisson_log_mass(*primals), slope * tangents[0]


@jax.custom_jvp
def negative_binomial_log_mass(
  log_mean: Array, log_dispersion: Array, x: Array
) -> Array:
  """Returns log p(x) of mean m and variance m + m^2 / r, elementwise.

  For x >= 1, with r = exp(log_dispersion), it is

  -D - log(2 pi x (x + r) / r) / 2 + R(x + r) - R(r) - R(x)

  with the deviance D of `_deviance`; for x = 0 it is -r log(1 + m / r).
  """
  log_r = jnp.minimum(log_dispersion, _MOST_LOG_DISPERSION)
  r, above = jnp.exp(log_r), jnp.maximum(x, 1)
  spread = 0.5 * (jnp.log(above) + _log1p_ratio(above, log_r))
  spread += HALF_LOG_TWO_PI
  remainders = stirling_remainder(above + r) - _remainder_of(log_r)
  remainders -= stirling_remainder(above)
  positive = remainders - spread - _deviance(log_mean, log_r, above)
  return jnp.where(x > 0, positive, -_zero_deviance(log_mean, log_r))


def _remainder_of(log_r: Array) -> Array:
  """Returns R(r), r = exp(log_r), also where r underflows."""
  small = log_r < _LEAST_LOG_DISPERSION
  exact = stirling_remainder(jnp.exp(jnp.where(small, 0, log_r)))
  # log Gamma(r) tends to -log r.
  return jnp.where(small, -0.5 * log_r - HALF_LOG_TWO_PI, exact)


def _log1p_ratio(x: Array, log_r: Array) -> Array:
  """Returns log(1 + x / r), where x / r may exceed the largest number."""
  ratio = x / jnp.exp(jnp.maximum(log_r, _LEAST_LOG_DISPERSION))
  small = log_r < _LEAST_LOG_DISPERSION
  return jnp.where(small, jnp.log(x) - log_r, jnp.log1p(ratio))


def _zero_deviance(log_mean: Array, log_r: Array) -> Array:
  """Returns r log(1 + m / r)."""
  log_ratio, r = log_mean - log_r, jnp.exp(log_r)
  small = log_ratio < 0
  # m / r has fewer rounding errors than exp(log_ratio), which is below 1.
  ratio = jnp.exp(jnp.where(small, log_mean, 0)) / r
  return r * jnp.where(
    small, jnp.log1p(jnp.where(small, ratio, 0)), softplus(log_ratio)
  )


def _log_ratio(log_mean: Array, log_r: Array, x: Array) -> Array:
  """Returns log((r + m) / (r + x)), near 0 where m is near x."""
  u = _difference(jnp.minimum(log_mean, _MOST_LOG_MEAN), x)
  u /= x + jnp.exp(log_r)
  near = jnp.abs(u) < 0.5
  far = jnp.logaddexp(log_mean, log_r) - jnp.log(x + jnp.exp(log_r))
  return jnp.where(near, jnp.log1p(jnp.where(near, u, 0)), far)


def _deviance(log_mean: Array, log_r: Array, x: Array) -> Array:
  """Returns D = x log(p / q) + r log((1 - p) / (1 - q)) >= 0, x >= 1.

  p = x / (x + r) and q = m / (m + r): x + r times the KL of two Bernoullis.
  With v = p / q - 1, u = (1 - p) / (1 - q) - 1 = (m - x) / (r + x) and
  l(y) = log(1 + y) - y it is

  x l(v) + r l(u) + r u (1 - x / m),

  three terms of the order of D where u and v are small.
  """
  r, t = jnp.exp(log_r), _log_excess(log_mean, x)
  within = jnp.clip(t, -_MOST_LOG_MEAN, _MOST_LOG_MEAN)
  u = x * jnp.expm1(jnp.minimum(within, _MOST_LOG_MEAN - jnp.log(x))) / (x + r)
  v = r / (x + r) * jnp.expm1(-within)
  v_near = jnp.abs(v) < 0.5
  near = v_near & (u > -0.5) & (u < 2)
  log_ratio = _log_ratio(log_mean, log_r, x)
  small = jnp.where(v_near, v, 0)
  far = x * jnp.where(v_near, jnp.log1p(small), log_ratio - t) + r * log_ratio
  u, v = jnp.where(near, u, 0), jnp.where(near, v, 0)
  slope = jnp.expm1(jnp.where(near, -t, 0))
  close = x * log1p_minus(v) + r * log1p_minus(u) - r * u * slope
  return jnp.where(near, close, far)


@negative_binomial_log_mass.defjvp
def _negative_binomial_jvp(primals: _Triple, tangents: _Triple) -> _Pair:
  log_mean, log_dispersion, x = primals
  log_r = jnp.minimum(log_dispersion, _MOST_LOG_DISPERSION)
  r, bounded = jnp.exp(log_r), jnp.minimum(log_mean, _MOST_LOG_MEAN)
  difference = _difference(bounded, x)
  # d/dm = -r (m - x) / (r + m).
  of_mean = -difference * jax.nn.sigmoid(log_r - bounded)
  # d/dr = log(1 + w) - w + digamma(x + r) - digamma(r) - log(1 + x / r),
  # w = (x - m) / (r + m).
  w = -difference / (r + jnp.exp(bounded))
  near = jnp.abs(w) < 0.5
  small = log_r < _LEAST_LOG_DISPERSION
  # r w is the slope in log m, also where w is infinite. r log r tends to 0.
  log_ratio = jnp.where(small, 0, _log_ratio(log_mean, log_r, x))
  excess = jnp.where(
    near,
    r * log1p_minus(jnp.where(near, w, 0)),
    -r * log_ratio - of_mean,
  )
  slope = lambda a: jax.jvp(stirling_remainder, (a,), (jnp.ones_like(a),))[1]
  # r times 1 / (2 r) - 1 / (2 (x + r)) and the slopes of the remainders.
  own = jnp.where(small, -0.5, r * slope(jnp.where(small, 1, r)))
  gap = 0.5 * x / (x + r) + r * slope(x + r) - own
  of_dispersion = excess + jnp.where(x > 0, gap, 0)
  value = negative_binomial_log_mass(*primals)
  return value, of_mean * tangents[0] + of_dispersion * tangents[1]


def zero_inflated(logits: Array, log_mass: Array, x: Array) -> Array:
  """Returns log p(x) of a mixture of zeros and a distribution of counts.

  Args:
    logits: log-odds of the extra zeros.
    log_mass: log-probability of x under the distribution of counts.
    x: counts.
  """
  y = jax.nn.sigmoid(-logits) * jnp.expm1(jnp.minimum(log_mass, 0))
  # 1 + y is p(0), close to 1 or close to 0.
  near = y > -0.5
  far = jnp.logaddexp(logits, log_mass) - softplus(logits)
  zero = jnp.where(near, jnp.log1p(jnp.where(near, y, 0)), far)
  return jnp.where(x > 0, log_mass - softplus(logits), zero)
