"""Formulas of Kullback-Leibler divergences, per dimension.

Each is a sum of terms >= 0 with a double zero at q = p, such as exp(t) - 1 - t:
a difference of larger terms has no digits left where q is close to p.
"""

import jax
import jax.numpy as jnp

from vae_jax.distributions._numerics import (
  EULER_GAMMA,
  absolute,
  event_sum,
  exponential_remainder,
  log1p_square,
  log_gamma_remainder,
  rescale,
  softplus,
)
from vae_jax.types import Array, ArrayLike


def laplace(distance: Array, s_q: ArrayLike, s_p: ArrayLike) -> Array:
  """Returns KL of Laplace distributions of log-scales s, locations apart.

  With a = |distance| / b_q and r = s_q - s_p it is
  exp(r) - 1 - r + exp(r) (exp(-a) - 1 + a).
  """
  s_q, s_p = jnp.asarray(s_q), jnp.asarray(s_p)
  log_ratio = s_q - s_p
  near = jnp.abs(rescale(distance, -s_q)) < 1e6
  a = absolute(rescale(jnp.where(near, distance, 0), -s_q))
  convex = rescale(exponential_remainder(-a), log_ratio)
  # Beyond, exp(-a) is 0 and a may be infinite.
  ratio = jnp.minimum(jnp.exp(log_ratio), jnp.finfo(a.dtype).max)
  far = absolute(rescale(distance, -s_p)) - ratio
  return exponential_remainder(log_ratio) + jnp.where(near, convex, far)


def cauchy(distance: Array, s_q: ArrayLike, s_p: ArrayLike) -> Array:
  """Returns KL of Cauchy distributions of log-scales s, symmetric in q and p.

  log(cosh(r/2)^2 + distance^2 / (4 b_q b_p)) in two factors, r = s_q - s_p.

  References:
    Chyzak and Nielsen 2019, A closed-form formula for the Kullback-Leibler
    divergence between Cauchy distributions, eq. (1).
  """
  s_q = jnp.asarray(s_q)
  scales = log1p_square(jnp.sinh(0.5 * (s_q - s_p)), 0.0)
  return scales + log1p_square(0.5 * distance, 0.5 * (s_q + s_p + scales))


def gumbel(log_ratio: Array, excess: Array, shift: Array) -> Array:
  """Returns KL of Gumbel distributions; excess = exp(log_ratio) - 1.

  With g Euler's constant, b_q / b_p = exp(log_ratio) and shift =
  (loc_q - loc_p) / b_p, it is -log_ratio + g excess + shift + exp(e) - 1,
  e = log Gamma(2 + excess) - shift.
  """
  curved = log_gamma_remainder(excess)
  exponent = (1 - EULER_GAMMA) * excess + curved - shift
  convex = exponential_remainder(exponent) + exponential_remainder(log_ratio)
  return convex + curved


def low_rank(log_ratio: Array, shift: Array, v: Array, root: Array) -> Array:
  """Returns KL of N(., S (I + V V') S) and a normal of independent dimensions.

  (sum_i (exp(2 r_i) - 1 - 2 r_i) + sum_k (L_kk^2 - 1 - 2 log L_kk) + |L below
  its diagonal|^2 + sum_i (exp(2 r_i) - 1) |V_i|^2 + |d|^2) / 2, where L L' =
  I + V'V, so that |V|^2 - log det(I + V'V) is not a difference of large terms.

  Args:
    log_ratio: r, log of S over the scales of the normal, `[n]`.
    shift: d, difference of the means in units of those scales, `[n]`.
    v: V, `[n, r]`.
    root: L, `[r, r]`.
  """
  logs = jnp.log(jnp.diagonal(root))
  growth = jnp.expm1(2 * log_ratio) * jnp.sum(v**2, axis=-1)
  return 0.5 * (
    event_sum(exponential_remainder(2 * log_ratio) + growth + shift**2)
    + event_sum(exponential_remainder(2 * logs))
    + event_sum(jnp.tril(root, -1) ** 2)
  )


def bernoulli(l_q: Array, l_p: Array) -> Array:
  """Returns KL of Bernoulli distributions of logits l, infinite ones too."""
  near = jnp.abs(l_p - l_q) < 1
  step = jnp.where(near, l_p, 0) - jnp.where(near, l_q, 0)

  def of(sign: int) -> Array:
    q_one = jax.nn.sigmoid(sign * l_q)
    close = -jnp.log1p(jax.nn.sigmoid(-sign * l_q) * jnp.expm1(-sign * step))
    far = softplus(-sign * l_q) - softplus(-sign * l_p)
    ratio = jnp.where(near, close, far)
    return _discrete(q_one, jax.nn.sigmoid(sign * l_p), ratio)

  return of(1) + of(-1)


def categorical(l_q: Array, l_p: Array) -> Array:
  """Returns terms `[..., K]` that sum to KL over the labels, from logits."""
  log_q, log_p = (jax.nn.log_softmax(x, axis=-1) for x in (l_q, l_p))
  q, p = jnp.exp(log_q), jnp.exp(log_p)
  # The difference of close logits is exact; that of their normalisers rounds,
  # so the ratios are normalised once more. Labels with q = 0 contribute p.
  possible = log_q > -jnp.inf
  offset = jnp.where(possible, l_p, 0) - jnp.where(possible, l_q, 0)
  normaliser = lambda x: jax.nn.logsumexp(x, axis=-1, keepdims=True)
  ratio = offset - (normaliser(l_p) - normaliser(l_q))
  near = possible & (jnp.abs(ratio) < 1)
  excess = jnp.where(near, q * jnp.expm1(ratio), p - q)
  rounding = jnp.log1p(jnp.sum(excess, axis=-1, keepdims=True))
  ratio = jnp.where(possible, ratio - jax.lax.stop_gradient(rounding), jnp.inf)
  return _discrete(q, p, ratio)


def _discrete(q: Array, p: Array, log_ratio: Array) -> Array:
  """Returns p - q - q log_ratio >= 0, log_ratio = log(p / q), per label.

  As probabilities sum to 1, these sum to KL(q || p) = -sum q log_ratio.
  """
  near = jnp.abs(log_ratio) < 1
  close = q * exponential_remainder(jnp.where(near, log_ratio, 0))
  # 0 log 0 = 0; without the mask its gradient would be nan.
  gap = jnp.where(near | (q == 0), 0, log_ratio)
  return jnp.where(near, close, p - q - q * gap)
