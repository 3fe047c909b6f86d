"""Gamma and Beta, with implicit reparameterisation gradients.

No closed-form z = g(phi, eps) with eps independent of phi exists, so `noise`
raises. Differentiating the cdf F(z; phi) = u of a Gamma at constant u gives

dz/dphi = -(dF/dphi) / p(z).

A Beta draw is G_a / (G_a + G_b) of two Gamma draws, each differentiated so. Its
derivative is unbiased, but depends on both draws and differs from that of the
cdf of the Beta.

Densities, entropies and divergences are sums of terms of the order of their
result, for float32 from concentrations of 1e-3 to 1e8: see `_stirling`.
"""

from typing import Any

import jax.numpy as jnp

from vae_jax.distributions._gamma_draws import log_gamma_ratio
from vae_jax.distributions._numerics import (
  event_sum,
  restrict_to_support,
  softplus,
)
from vae_jax.distributions._stirling import (
  HALF_LOG_TWO_PI,
  digamma_gap,
  product_error,
  scaled_excess,
  stirling_remainder,
)
from vae_jax.distributions.base import Elementwise, check_event, distribution
from vae_jax.distributions.logged_draw import (
  LoggedDraw,
  keep_logs,
  log_of,
  logs_of,
)
from vae_jax.distributions.support import POSITIVE, UNIT_INTERVAL
from vae_jax.types import Array, ArrayLike, Key


def _broadcast(q: Any, value: ArrayLike) -> Array:
  return jnp.broadcast_to(jnp.asarray(value, q.dtype), q.shape)


@distribution
class Gamma(Elementwise):
  """Gamma of shape a, the concentration, and rate exp(log_rate).

  log p(z) = a log_rate + (a - 1) log z - exp(log_rate) z - log Gamma(a),
  z > 0.

  A draw is a `LoggedDraw`: below a = .2 float32 rounds some z to 0.

  Args:
    concentration: a, above 0, of the event's shape or `[]`.
    log_rate: log of the rate, of the event's shape or `[]`.

  References:
    Figurnov, Mohamed and Mnih 2018, Implicit Reparameterization Gradients,
    eq. (5).

  Examples:
    >>> print(vj.Gamma(2.0, 0.0).mean(), vj.Gamma(2.0, 0.0).variance())
    2.0 2.0
  """

  concentration: ArrayLike
  log_rate: ArrayLike

  lower_bounds = (('concentration', 0),)
  support = POSITIVE

  @property
  def _parameters(self) -> tuple[Array, Array]:
    a, log_rate = self.concentration, self.log_rate
    return _broadcast(self, a), _broadcast(self, log_rate)

  def draw(self, key: Key) -> LoggedDraw:
    a, log_rate = self._parameters
    t = log_gamma_ratio(key, a)
    log_z = t + jnp.log(a) - log_rate
    # log z of a large a rounds away the spread; its z has no underflow.
    bulk = a * jnp.exp(t) * jnp.exp(-log_rate)
    z = jnp.where(t > -1, bulk, jnp.exp(log_z))
    return keep_logs(z, log_z)

  def log_prob(self, z: Array) -> Array:
    check_event('z', z, self)
    a, log_rate = self._parameters
    inside = (jnp.asarray(z) > 0) & (jnp.asarray(z) < jnp.inf)
    log_z = log_of(z, inside)
    log_ratio = log_z + log_rate - jnp.log(a)
    # (z - E[z]) / E[z]; z exp(log_rate) is exact where log_rate is 0.
    scaled = jnp.where(inside, jnp.asarray(z), 1) * jnp.exp(log_rate)
    scaled = jnp.where(jnp.abs(log_ratio) < 1, scaled, a * jnp.exp(log_ratio))
    step = scaled - a
    exponent = scaled_excess(a, step / a, step, log_ratio)
    constant = 0.5 * jnp.log(a) - HALF_LOG_TWO_PI - stirling_remainder(a)
    return event_sum(
      restrict_to_support(inside, constant - exponent - log_z, jnp.asarray(z))
    )

  def entropy(self) -> Array:
    a, log_rate = self._parameters
    unit = 0.5 * jnp.log(a) + HALF_LOG_TWO_PI + stirling_remainder(a)
    return event_sum(unit + (a - 1) * digamma_gap(a) - log_rate)

  def mean(self) -> Array:
    a, log_rate = self._parameters
    return a * jnp.exp(-log_rate)

  def variance(self) -> Array:
    return self.mean() * jnp.exp(-_broadcast(self, self.log_rate))


@distribution
class Beta(Elementwise):
  """Beta of concentrations a (of 1) and b (of 0).

  log p(z) = (a - 1) log z + (b - 1) log(1 - z) - log B(a, b), 0 < z < 1.

  A draw is a `LoggedDraw`: at a = b = .1 float32 rounds 10 % of z to 1.

  Args:
    concentration1: a, above 0, of the event's shape or `[]`.
    concentration0: b, above 0, of the event's shape or `[]`.

  References:
    Figurnov, Mohamed and Mnih 2018, Implicit Reparameterization Gradients,
    eq. (5), for the Gamma draws.

  Examples:
    >>> print(f'{vj.Beta(2.0, 2.0).variance():.3f}')
    0.050
  """

  concentration1: ArrayLike
  concentration0: ArrayLike

  lower_bounds = (('concentration1', 0), ('concentration0', 0))
  support = UNIT_INTERVAL

  @property
  def _ab(self) -> tuple[Array, Array]:
    a, b = self.concentration1, self.concentration0
    return _broadcast(self, a), _broadcast(self, b)

  def draw(self, key: Key) -> LoggedDraw:
    a, b = self._ab
    # G_a / (G_a + G_b) = sigmoid(log G_a - log G_b), log G = t + log a.
    t = log_gamma_ratio(key, jnp.stack([a, b]))
    logit = jnp.log(a) - jnp.log(b) + t[0] - t[1]
    log_z = -softplus(-logit)
    return keep_logs(jnp.exp(log_z), log_z, -softplus(logit))

  def log_prob(self, z: Array) -> Array:
    check_event('z', z, self)
    a, b = self._ab
    value = jnp.asarray(z)
    inside = (value > 0) & (value < 1)
    log_z, log_not_z = logs_of(z, inside)
    value = jnp.where(inside, value, 0.5)
    digits = isinstance(z, LoggedDraw)
    complement = jnp.exp(log_not_z) if digits else 1 - value
    difference = _deviation(a, b, value, complement)
    log_total = jnp.log(a + b)
    ratio = log_z - jnp.log(a) + log_total
    other = log_not_z - jnp.log(b) + log_total
    exponent = scaled_excess(a, difference / a, difference, ratio)
    exponent += scaled_excess(b, -difference / b, -difference, other)
    return event_sum(
      restrict_to_support(
        inside,
        -exponent - log_z - log_not_z - self._log_constant(),
        jnp.asarray(z),
      )
    )

  def _log_constant(self) -> Array:
    """Returns log B(a, b) less a log E[z] + b log E[1 - z]."""
    a, b = self._ab
    logs = jnp.log(a + b) - jnp.log(a) - jnp.log(b)
    remainder = stirling_remainder(a) + stirling_remainder(b)
    return 0.5 * logs + HALF_LOG_TWO_PI + remainder - stirling_remainder(a + b)

  def entropy(self) -> Array:
    a, b = self._ab
    spread = (a - 1) * digamma_gap(a) + (b - 1) * digamma_gap(b)
    spread -= (a + b - 2) * digamma_gap(a + b)
    logs = jnp.log(a) + jnp.log(b) - 2 * jnp.log(a + b)
    return event_sum(self._log_constant() + logs + spread)

  def mean(self) -> Array:
    a, b = self._ab
    return a / (a + b)

  def variance(self) -> Array:
    a, b = self._ab
    total = a + b
    return a / total * (b / total) / (total + 1)


def _deviation(a: Array, b: Array, z: Array, complement: Array) -> Array:
  """Returns b z - a (1 - z), which is 0 at the mean, to its own last digits.

  Near 1 the complement has the digits of 1 - z that z lacks.
  """
  upper = z >= 0.5
  complement = jnp.where(1 - z < 0.01, complement, 1 - z)
  low = jnp.where(upper, complement, z)
  high = 1 - low
  error = (1 - high) - low
  z, complement = jnp.where(upper, high, low), jnp.where(upper, low, high)
  exact = product_error(b, z) - product_error(a, complement)
  exact += error * jnp.where(upper, b, -a)
  return b * z - a * complement + exact
