"""Gamma draws with implicit gradients, from concentrations 1e-5 to 1e8."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma

from vae_jax.distributions._stirling import digamma_gap, log1p_minus
from vae_jax.types import Array, Key

# Beyond it the asymptotic slope has float32's accuracy.
_LARGE = 1e3
# exp(-_CUTOFF) of the integrand is dropped.
_CUTOFF = 20.0
_NODES, _WEIGHTS = (x / 2 for x in np.polynomial.legendre.leggauss(32))


def log_gamma_ratio(key: Key, a: Array) -> Array:
  """Draws log(G / a), G ~ Gamma(a, 1), differentiable in a.

  About 0 where a is large, and about -exponential / a where it is small, so
  that float32 holds it at both ends.

  Args:
    key: consumed.
    a: concentrations, above 0.

  References:
    Marsaglia and Tsang 2000, A Simple Method for Generating Gamma Variables;
    Figurnov, Mohamed and Mnih 2018, Implicit Reparameterization Gradients,
    eq. (5).
  """
  gamma_key, power_key = jax.random.split(key)
  stopped = jax.lax.stop_gradient(a)
  # G(a) = G(a + 1) U^(1 / a).
  power = jax.random.exponential(power_key, a.shape, a.dtype) / stopped
  d = stopped + 2 / 3
  cube_root = _cube_root(gamma_key, d)
  offset = jnp.log1p(2 / (3 * stopped))
  return _implicit(a, 3 * jnp.log1p(cube_root) + offset - power)


def _cube_root(key: Key, d: Array) -> Array:
  """Draws u, d (1 + u)^3 ~ Gamma(d + 1/3), d of 2/3 or more."""
  scale = 1 / (3 * jnp.sqrt(d))

  def propose(key: Key) -> tuple[Array, Array]:
    normal_key, accept_key = jax.random.split(key)
    u = scale * jax.random.normal(normal_key, d.shape, d.dtype)
    # 3 (log(1 + u) - u + u^2 / 2 - u^3 / 3): no difference of terms of order d.
    gap = log1p_minus(jnp.maximum(u, -1)) + u * u * (0.5 - u / 3)
    threshold = jax.random.exponential(accept_key, d.shape, d.dtype)
    # Written so that a nan is accepted: the loop ends for any a.
    return u, (u <= -1) | (-3 * d * gap > threshold)

  def step(state: tuple[Key, Array, Array]) -> tuple[Key, Array, Array]:
    key, kept, rejected = state
    key, propose_key = jax.random.split(key)
    u, again = propose(propose_key)
    return key, jnp.where(rejected, u, kept), rejected & again

  start = key, jnp.zeros_like(d), jnp.ones(d.shape, bool)
  return jax.lax.while_loop(lambda state: jnp.any(state[2]), step, start)[1]


@jax.custom_jvp
def _implicit(a: Array, t: Array) -> Array:
  """Returns t, a draw of log(G / a), with its derivative in a."""
  del a
  return t


@_implicit.defjvp
def _implicit_jvp(primals, tangents):  # type: ignore[no-untyped-def]
  a, t = primals
  t = _implicit(a, t)
  # t itself is drawn from stopped parameters: it has no tangent.
  return t, (log_slope(a, t) - 1) / a * tangents[0]


def log_slope(a: Array, t: Array) -> Array:
  """Returns a d(log G)/da at constant probability F(G; a), G = a exp(t).

  With z = log G and density p of z it is -a (dF/da) / p(z), the implicit
  derivative, by one of three forms:

  * G <= 1: the power series of F;
  * a < 1000: dF/da = int (log s - digamma(a)) p(s) ds over the side of G with
    less mass, by Gauss-Legendre quadrature where it does not vanish;
  * else the expansion of F for large a at constant t sqrt(a).

  References:
    Temme 1979, The Asymptotic Expansion of the Incomplete Gamma Functions,
    for the last.
  """
  medium = jnp.where(a < _LARGE, a, 1.0)
  central = jnp.where(a < _LARGE, t, 0.0)
  tiny = central + jnp.log(medium) <= 0
  series = _series(medium, jnp.where(tiny, central, -jnp.log(medium)))
  integral = _integral(medium, jnp.where(tiny, 0.0, central))
  small = jnp.where(tiny, series, integral)
  far = jnp.where(a < _LARGE, 0.0, t)
  x = far * far
  bernoulli = 1 - far / 2 + x / 12 - x * x / 720
  return jnp.where(a < _LARGE, small, bernoulli + (1 - far / 2) / (6 * a))


def _series(a: Array, t: Array) -> Array:
  """Sums gamma(a, G) = sum_k (-1)^k G^(a + k) / (k! (a + k)), G <= 1."""
  log_g = t + jnp.log(a)
  g = jnp.exp(log_g)
  first = log_g - digamma(1 + a)
  total = first
  for k in range(1, 13):
    rest = (a * first + 1 - a / (a + k)) / (a + k)
    total += (-g) ** k / math.factorial(k) * rest
  return -jnp.exp(g) * total


def _integral(a: Array, t: Array) -> Array:
  """Integrates over s = G exp(sign r), r > 0, towards the nearer tail."""
  g = a * jnp.exp(t)
  sign = jnp.where(t > 0, 1.0, -1.0)
  decay = a * jnp.abs(jnp.expm1(t))
  c = _CUTOFF / g
  above = jnp.log1p(c + jnp.sqrt(2 * c))
  below = (c + jnp.sqrt(c * (c + 8))) / 2
  end = jnp.minimum(jnp.where(t > 0, above, below), _CUTOFF / decay)
  end = jax.lax.stop_gradient(end)
  shift = sign * (t + digamma_gap(a))
  total = jnp.zeros_like(a)
  for node, weight in zip(_NODES + 0.5, _WEIGHTS, strict=True):
    r = float(node) * end
    curve = jnp.expm1(sign * r) - sign * r
    total += float(weight) * (r + shift) * jnp.exp(-decay * r - g * curve)
  return a * end * total
