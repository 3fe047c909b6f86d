"""Numerically stable primitives that several distributions share."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from vae_jax.types import Array, ArrayLike

EULER_GAMMA = 0.5772156649015329

# A GPU multiplies float32 matrices with 10 bits unless asked for all 24.
matmul = functools.partial(jnp.matmul, precision='highest')


def _zeta_minus_one(n: int) -> float:
  """Returns sum_k k^-n, k >= 2, by the Euler-Maclaurin formula."""
  head = math.fsum(k**-n for k in range(2, 1000))
  return head + 1000 ** (1 - n) * (1 / (n - 1) + 1 / 2000 + n / 12e6)


# Coefficients of powers of t, the highest first, for |t| < 1/2 in float64.
_EXPONENTIAL = [1 / math.factorial(n) for n in range(15, 1, -1)] + [0, 0]
_LOG_GAMMA = [
  *((-1) ** n * _zeta_minus_one(n) / n for n in range(26, 1, -1)),
  *(0, 0),
]


def softplus(x: ArrayLike) -> Array:
  """Returns log(1 + exp(x)), finite in value and gradient for any finite x.

  Likelihoods spend most of their time here, and `jax.nn.softplus` takes four
  times as long on a CPU.
  """
  # By cases and not by max(x, 0) and |x|, whose gradients at 0 add up to 0.
  positive = jnp.greater(x, 0)
  return jnp.where(positive, x, 0) + jnp.log1p(
    jnp.exp(jnp.where(positive, -jnp.asarray(x), x))
  )


def float32_or_wider(dtype: Any) -> Any:
  """Returns the dtype of a sum, also under strict dtype promotion."""
  with jax.numpy_dtype_promotion('standard'):
    return jnp.promote_types(dtype, jnp.float32)


def event_sum(values: Array) -> Array:
  """Sums over all axes of the event, in float32 or wider, to `[]`."""
  # 784 Bernoulli terms summed in bfloat16 are off by half a nat.
  return jnp.sum(values, dtype=float32_or_wider(values.dtype))


def restrict_to_support(inside: Array, log_prob: Array, z: Array) -> Array:
  """Returns -inf outside the support, nan where `log_prob` or z is nan.

  Args:
    inside: whether z is in the support.
    log_prob: log-density, at any point of the support where z is outside.
    z: the event, or its sum over axes that `log_prob` has not.
  """
  # A nan is not known to be outside: -inf would count as a weight of 0.
  outside = jnp.where(jnp.isnan(z), jnp.nan, -jnp.inf)
  return jnp.where(inside | jnp.isnan(log_prob), log_prob, outside)


def nan_where(invalid: Array, draws: Array) -> Array:
  """Returns `draws`, nan where the parameters are `invalid`."""
  # Comparisons with nan are false, and integers have none: a draw by either
  # would be a number.
  return jnp.where(invalid, jnp.nan, draws)


def clip_above_zero(z: Array) -> Array:
  """Clips z to the smallest positive normal number, so log z is finite."""
  return jnp.maximum(z, jnp.finfo(z.dtype).tiny)


def clip_inside_unit_interval(z: Array) -> Array:
  """Clips z to the floats strictly between 0 and 1."""
  info = jnp.finfo(z.dtype)
  return jnp.clip(z, info.tiny, 1 - info.eps)


def float_dtype(*parameters: ArrayLike) -> Any:
  """Returns the floating dtype of draws from these parameters."""
  return jnp.result_type(float, *parameters)


def absolute(x: ArrayLike) -> Array:
  """Returns |x| with a one-sided gradient at 0."""
  # jnp.abs has gradient 0 at 0, where an even function's second derivative
  # would be 0.
  return jnp.where(jnp.greater(x, 0), x, -jnp.asarray(x))


@jax.custom_jvp
def rescale(x: ArrayLike, log_factor: ArrayLike) -> Array:
  """Returns x exp(log_factor), 0 at x = 0 for any factor."""
  first, rest = _factors(x, log_factor)
  return jnp.asarray(x) * first * rest


@rescale.defjvp
def _rescale_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
  first, rest = _factors(*primals)
  value = rescale(*primals)
  # Not through exp: the product of x and a cotangent may overflow.
  return value, tangents[0] * first * rest + value * tangents[1]


def _factors(x: ArrayLike, log_factor: ArrayLike) -> tuple[Array, Array]:
  # exp(90) is infinite in float32, and 0 times infinity is nan.
  most = 0.98 * math.log(float(jnp.finfo(float_dtype(x, log_factor)).max))
  first = jnp.clip(log_factor, -most, most)
  rest = jnp.maximum(log_factor, most) + jnp.minimum(log_factor, -most)
  return jnp.exp(first), jnp.exp(jnp.clip(rest, -most, most))


def log_quotient(
  a: ArrayLike, b: ArrayLike, difference: ArrayLike | None = None
) -> Array:
  """Returns log(a / b), with relative accuracy where a is close to b.

  Args:
    a: above 0.
    b: above 0.
    difference: a - b, where it is known without rounding.
  """
  a, b = jnp.asarray(a), jnp.asarray(b)
  return _log_quotient(a, b, a - b if difference is None else difference)


@jax.custom_jvp
def _log_quotient(a: Array, b: Array, difference: Array) -> Array:
  excess = difference / b
  close = jnp.abs(excess) < 0.5
  return jnp.where(
    close, jnp.log1p(jnp.where(close, excess, 0)), jnp.log(a) - jnp.log(b)
  )


@_log_quotient.defjvp
def _log_quotient_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
  # The derivative of the quotient would overflow at b = 1e-20.
  (a, b, _), (a_dot, b_dot, _) = primals, tangents
  return _log_quotient(*primals), a_dot / a - b_dot / b


def exponential_remainder(t: ArrayLike) -> Array:
  """Returns exp(t) - 1 - t >= 0, with relative accuracy near 0."""
  return _near_zero(t, _EXPONENTIAL, lambda t: jnp.expm1(t) - _finite(t))


def log_gamma_remainder(t: ArrayLike) -> Array:
  """Returns log Gamma(2 + t) - (1 - EULER_GAMMA) t >= 0, t > -1.

  It has a double zero at t = 0 and keeps relative accuracy there.
  """
  slope = 1 - EULER_GAMMA
  return _near_zero(
    t, _LOG_GAMMA, lambda t: gammaln(2 + t) - slope * _finite(t)
  )


def _finite(t: Array) -> Array:
  # Infinity minus infinity is nan.
  return jnp.minimum(t, jnp.finfo(t.dtype).max)


def _near_zero(t: ArrayLike, series: list[float], exact: Any) -> Array:
  """Returns a power series for |t| < 1/2 and the exact function beyond."""
  t = jnp.asarray(t, float_dtype(t))
  near = jnp.abs(t) < 0.5
  value = jnp.zeros_like(t)
  for coefficient in series:
    value = value * jnp.where(near, t, 0) + coefficient
  return jnp.where(near, value, exact(jnp.where(near, 1, t)))


def log1p_square(x: ArrayLike, log_width: ArrayLike) -> Array:
  """Returns log(1 + y^2), y = x exp(-log_width), without overflow of y."""
  x, log_width = jnp.asarray(x), jnp.asarray(log_width)
  far = jnp.abs(rescale(x, -log_width)) > 1
  near_y = rescale(jnp.where(far, 0, x), -log_width)
  log_y = jnp.log(jnp.abs(jnp.where(far, x, 1))) - log_width
  return jnp.where(far, softplus(2 * log_y), jnp.log1p(near_y**2))
