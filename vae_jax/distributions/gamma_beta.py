"""Gamma and Beta, with implicit reparameterisation gradients.

No closed-form z = g(phi, eps) with eps independent of phi exists, so `noise`
raises. Differentiating the cdf F(z; phi) = u at constant u gives

dz/dphi = -(dF/dphi) / p(z),

which is the derivative that `jax.random` defines for these draws.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import betaln, digamma, gammaln

from vae_jax.distributions._numerics import (
  clip_above_zero,
  clip_inside_unit_interval,
  event_sum,
  restrict_to_support,
)
from vae_jax.distributions.base import Elementwise, check_event, distribution
from vae_jax.types import Array, ArrayLike, Key


def _broadcast(q: Any, value: ArrayLike) -> Array:
  return jnp.broadcast_to(jnp.asarray(value, q.dtype), q.shape)


@distribution
class Gamma(Elementwise):
  """Gamma of shape a, the concentration, and rate exp(log_rate).

  log p(z) = a log_rate + (a - 1) log z - exp(log_rate) z - log Gamma(a),
  z > 0.

  Args:
    concentration: a, above 0, of the event's shape or `[]`. In float32 the
      gradient in it loses accuracy below about 0.1.
    log_rate: log of the rate, of the event's shape or `[]`.

  References:
    Figurnov, Mohamed and Mnih 2018, Implicit Reparameterization Gradients,
    eq. (5).
  """

  concentration: ArrayLike
  log_rate: ArrayLike

  lower_bounds = (('concentration', 0),)

  def draw(self, key: Key) -> Array:
    a = _broadcast(self, self.concentration)
    unit = jax.random.gamma(key, a, self.shape, a.dtype)
    return clip_above_zero(unit * jnp.exp(-_broadcast(self, self.log_rate)))

  def log_prob(self, z: Array) -> Array:
    check_event('z', z, self)
    a, log_rate = jnp.asarray(self.concentration), jnp.asarray(self.log_rate)
    log_z = jnp.log(jnp.where(z > 0, z, 1))
    density = a * log_rate + (a - 1) * log_z - jnp.exp(log_rate) * z
    return event_sum(restrict_to_support(z > 0, density - gammaln(a)))

  def entropy(self) -> Array:
    a = jnp.asarray(self.concentration)
    unit = a + gammaln(a) + (1 - a) * digamma(a)
    return event_sum(jnp.broadcast_to(unit - self.log_rate, self.shape))

  def mean(self) -> Array:
    return _broadcast(self, self.concentration) * jnp.exp(
      -_broadcast(self, self.log_rate)
    )

  def variance(self) -> Array:
    return self.mean() * jnp.exp(-_broadcast(self, self.log_rate))


@distribution
class Beta(Elementwise):
  """Beta of concentrations a (of 1) and b (of 0).

  log p(z) = (a - 1) log z + (b - 1) log(1 - z) - log B(a, b), 0 < z < 1.

  Args:
    concentration1: a, above 0, of the event's shape or `[]`.
    concentration0: b, above 0, of the event's shape or `[]`.

  References:
    Figurnov, Mohamed and Mnih 2018, Implicit Reparameterization Gradients,
    eq. (5).
  """

  concentration1: ArrayLike
  concentration0: ArrayLike

  lower_bounds = (('concentration1', 0), ('concentration0', 0))

  @property
  def _ab(self) -> tuple[Array, Array]:
    a, b = self.concentration1, self.concentration0
    return _broadcast(self, a), _broadcast(self, b)

  def draw(self, key: Key) -> Array:
    a, b = self._ab
    return clip_inside_unit_interval(
      jax.random.beta(key, a, b, self.shape, a.dtype)
    )

  def log_prob(self, z: Array) -> Array:
    check_event('z', z, self)
    a, b = self._ab
    inside = (z > 0) & (z < 1)
    safe = jnp.where(inside, z, 0.5)
    density = (a - 1) * jnp.log(safe) + (b - 1) * jnp.log1p(-safe)
    return event_sum(restrict_to_support(inside, density - betaln(a, b)))

  def entropy(self) -> Array:
    a, b = self._ab
    spread = (a - 1) * digamma(a) + (b - 1) * digamma(b)
    return event_sum(betaln(a, b) - spread + (a + b - 2) * digamma(a + b))

  def mean(self) -> Array:
    a, b = self._ab
    return a / (a + b)

  def variance(self) -> Array:
    a, b = self._ab
    return a * b / ((a + b) ** 2 * (a + b + 1))
