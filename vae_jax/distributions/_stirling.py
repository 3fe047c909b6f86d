"""Gamma functions beside their leading terms, at any concentration.

float32 keeps 7 digits of log Gamma(1e7) = 1.5e8, hence no digit of a density.
Every sum of log Gamma here is written with the Stirling remainder R,

log Gamma(a) = (a - 1/2) log a - a + log(2 pi) / 2 + R(a),

after the terms of order a have cancelled on paper.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions._numerics import rescale
from vae_jax.types import Array

HALF_LOG_TWO_PI = 0.9189385332046727
_LARGE = 8.0
# Of a^-1, a^-3, ...: B_2k / (2k (2k - 1)).
_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)


def log1p_minus(x: Array) -> Array:
  """Returns log(1 + x) - x, accurate near 0, where it is -x^2 / 2."""
  small = jnp.abs(x) < 0.5
  near, far = jnp.where(small, x, 0), jnp.where(small, 1, x)
  r = near / (2 + near)
  # log(1 + x) = 2 artanh(r), and 2 r - x = -x r.
  series = r * (2 * _artanh_excess(r) - near)
  return jnp.where(small, series, jnp.log1p(far) - far)


def _artanh_excess(r: Array) -> Array:
  """Returns artanh(r) / r - 1 = r^2 / 3 + r^4 / 5 + ..., |r| up to 1/3."""
  coefficients = jnp.array([1 / k for k in range(33, 1, -2)], r.dtype)
  return r * r * jnp.polyval(coefficients, r * r)


def scaled_excess(s: Array, x: Array, s_x: Array, log_ratio: Array) -> Array:
  """Returns s (x - log(1 + x)), with s x and log(1 + x) at hand.

  They serve for the x far from 0, where s times the derivative of x in s would
  cancel x.
  """
  small = jnp.abs(x) < 0.5
  near = -s * log1p_minus(jnp.where(small, x, 0))
  return jnp.where(small, near, s_x - s * log_ratio)


def _entropy_excess(x: Array, ratio: Array) -> Array:
  """Returns (1 + x) log(1 + x) - x, with 1 + x at hand for x near -1."""
  small = jnp.abs(x) < 0.5
  near, far = jnp.where(small, x, 0), jnp.where(small, 1, ratio)
  series = near * near + (1 + near) * log1p_minus(near)
  return jnp.where(small, series, far * jnp.log(far) - x)


def stirling_remainder(a: Array) -> Array:
  """Returns R(a), about 1 / (12 a), by R(a) - R(a + 1) > 0 where a is small."""
  large = a >= _LARGE
  small = jnp.where(large, _LARGE, a)
  steps = _sum_shifted(lambda k: _remainder_step(small + k), a.dtype)
  x = 1 / jnp.where(large, a, small + _LARGE)
  series = x * jnp.polyval(jnp.array(_SERIES[::-1], x.dtype), x * x)
  return series + jnp.where(large, 0, steps)


def _sum_shifted(f: Callable[[Array], Array], dtype: Any) -> Array:
  """Returns sum_k f(k), k = 0 .. 7."""
  return jnp.sum(jax.vmap(f)(jnp.arange(_LARGE, dtype=dtype)), axis=0)


def _remainder_step(a: Array) -> Array:
  """Returns R(a) - R(a + 1) = (a + 1/2) log(1 + 1 / a) - 1."""
  below = a < 1
  direct = jnp.where(below, a, 1)
  near = _artanh_excess(1 / (2 * jnp.where(below, 1, a) + 1))
  return jnp.where(below, (direct + 0.5) * jnp.log1p(1 / direct) - 1, near)


def digamma_gap(a: Array) -> Array:
  """Returns log a - digamma(a), about 1 / (2 a)."""
  slope = jax.jvp(stirling_remainder, (a,), (jnp.ones_like(a),))[1]
  return 0.5 / a - slope


def gamma_kl(q: Array, p: Array, log_rate_ratio: Array) -> Array:
  """KL of Gammas of concentrations q and p: p (m - 1 - log m) + D(p || q).

  m is the ratio of the means and D that of `_divergence`. Both are at least 0.
  """
  step = (q - p) / p
  near = jnp.abs(step) < 0.5
  log_ratio = jnp.where(
    near, jnp.log1p(jnp.where(near, step, 0)), jnp.log(q) - jnp.log(p)
  )
  log_mean = log_ratio - log_rate_ratio
  step = rescale(q, -log_rate_ratio) - p
  leading = scaled_excess(p, jnp.expm1(log_mean), step, log_mean)
  return leading + _divergence(q, p, p - q)


def beta_kl(a_q: Array, b_q: Array, a_p: Array, b_p: Array) -> Array:
  """KL of Betas: the Bregman divergence of log B(a, b).

  That of a log a + b log b - (a + b) log(a + b) is a_p + b_p times the KL of
  two Bernoullis; `_divergence` has the rest.
  """
  total_q, total_p = a_q + b_q, a_p + b_p
  a_step, b_step = a_p - a_q, b_p - b_q
  # a_p b_q - a_q b_p.
  difference = (a_step * b_p - a_p * b_step) / total_p
  ratio = total_q / total_p
  leading = a_q * _entropy_excess(difference / a_q, a_p / a_q * ratio)
  leading += b_q * _entropy_excess(-difference / b_q, b_p / b_q * ratio)
  rest = _divergence(a_q, a_p, a_step) + _divergence(b_q, b_p, b_step)
  rest -= _divergence(total_q, total_p, a_step + b_step)
  return leading / ratio + rest


def _divergence(q: Array, p: Array, step: Array) -> Array:
  """Returns g(p) - g(q) - g'(q) step, g = log Gamma(a) - a log a + a.

  A Bregman divergence, of the order of step^2 and as accurate where step =
  p - q is small. A p far below q is lost in q + step.
  """
  near = jnp.abs(step) < 0.5 * q
  p = jnp.where(near, q, p)
  g = lambda a: stirling_remainder(a) - 0.5 * jnp.log(a)
  far = g(p) - g(q) + digamma_gap(q) * step
  step = jnp.where(near, step, 0)
  # log Gamma(a) = log Gamma(a + 8) - sum_k log(a + k) reaches the series.
  large = q >= 2 * _LARGE
  shifted = jnp.where(large, q, q + _LARGE)
  small = -_sum_shifted(lambda k: log1p_minus(step / (q + k)), q.dtype)
  own = lambda a: a * _entropy_excess(step / a, 1 + step / a)
  close = _shifted_divergence(shifted, step)
  close += jnp.where(large, 0, small + own(shifted) - own(q))
  return jnp.where(near, close, far)


def _shifted_divergence(q: Array, step: Array) -> Array:
  """Returns that of the series of g at q, both q and q + step above 8."""
  w = step / q
  total = -0.5 * log1p_minus(w)
  for i, c in enumerate(_SERIES[:3]):
    n = 2 * i + 1
    # (1 + w)^-n - 1 + n w = w^2 v sum_j (n - j) v^j, v = 1 / (1 + w).
    v = 1 / (1 + w)
    excess = w * w * v * sum((n - j) * v**j for j in range(n))
    total += c * q**-n * excess
  return total


def product_error(x: Array, y: Array) -> Array:
  """Returns the rounding error x y - fl(x y), exactly; of no gradient.

  References:
    Dekker 1971, A Floating-Point Technique for Extending the Available
    Precision.
  """
  x, y = jax.lax.stop_gradient((x, y))
  (a, b), (c, d) = _halves(x), _halves(y)
  return ((a * c - x * y) + a * d + b * c) + b * d


def _halves(x: Array) -> tuple[Array, Array]:
  """Splits x into a sum of two numbers of half as many digits."""
  scaled = x * (2.0 ** ((jnp.finfo(x.dtype).nmant + 2) // 2) + 1)
  high = scaled - (scaled - x)
  return high, x - high
