"""Gumbel-softmax (concrete) relaxations of the discrete families.

They tend to the discrete families as the temperature tends to 0. Above 0 they
are reparameterised; the gradients are biased for the discrete model.

A draw is a `LoggedDraw`, a point of the simplex that keeps log z: at
temperature .1 float32 rounds most draws to 0 or 1. Densities are computed from
log z and hold for draws of any temperature above .01, also under another member
of the family. Of a plain array they hold as far as its digits reach.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from vae_jax.distributions._numerics import (
  event_sum,
  restrict_to_support,
  softplus,
)
from vae_jax.distributions.base import Elementwise, check_event, distribution
from vae_jax.distributions.location_scale import mirror_gumbel
from vae_jax.distributions.logged_draw import (
  LoggedDraw,
  keep_logs,
  log_of,
  logs_of,
)
from vae_jax.distributions.support import UNIT_INTERVAL
from vae_jax.types import Array, ArrayLike, Key


@distribution
class RelaxedBernoulli(Elementwise):
  """z = sigmoid((logits + eps) / temperature), eps ~ Logistic(0, 1).

  With y = logit(z), eps = temperature y - logits,
  log p(z) = log p(eps) + log temperature - log z - log(1 - z), 0 < z < 1.

  Args:
    temperature: above 0, of the event's shape or `[]`.
    logits: finite log-odds of a one, of the event's shape.

  References:
    Maddison, Mnih and Teh 2017, The Concrete Distribution, eq. (24);
    Jang, Gu and Poole 2017, Categorical Reparameterization with
    Gumbel-Softmax; Maddison et al., appendix C.3.2, for the logits of z.
  """

  temperature: ArrayLike
  logits: ArrayLike

  lower_bounds = (('temperature', 0),)
  finite_parameters = ('logits',)
  family_parameters = ('temperature',)
  support = UNIT_INTERVAL

  def noise(self, key: Key) -> Array:
    return jax.random.logistic(key, self.shape, self.dtype)

  def noise_log_prob(self, eps: Array) -> Array:
    return event_sum(-eps - 2 * softplus(-eps))

  def mirror(self, eps: Array) -> Array:
    return -eps

  def transform(self, eps: Array) -> LoggedDraw:
    check_event('eps', eps, self)
    logit = (self.logits + eps) / self.temperature
    z = jax.nn.sigmoid(logit)
    return keep_logs(z, -softplus(-logit), -softplus(logit))

  def inverse(self, z: Array) -> Array:
    check_event('z', z, self)
    log_z, log_not_z = logs_of(z, (z > 0) & (z < 1))
    return jnp.asarray(self.temperature) * (log_z - log_not_z) - self.logits

  def log_prob(self, z: Array) -> Array:
    check_event('z', z, self)
    inside = (z > 0) & (z < 1)
    log_z, log_not_z = logs_of(z, inside)
    eps = self.inverse(z)
    slope = jnp.log(self.temperature) - log_z - log_not_z
    return event_sum(
      restrict_to_support(
        inside, -eps - 2 * softplus(-eps) + slope, jnp.asarray(z)
      )
    )


@distribution
class RelaxedCategorical(Elementwise):
  """z = softmax((logits + eps) / temperature), eps_k ~ Gumbel(0, 1).

  The event is a point of the simplex instead of a label. With l the normalised
  logits,
  log p(z) = log (K-1)! + (K-1) log temperature
  + sum_k (l_k - (temperature + 1) log z_k)
  - K logsumexp_k(l_k - temperature log z_k).

  `transform` maps K noises to K - 1 free dimensions, so `inverse` raises;
  `log_prob` has a closed form.

  Args:
    temperature: above 0, `[]`.
    logits: finite, `[*batch, K]`. The event has the same shape and sums to one
      over the last axis. At -inf z would have no density: leave that label out.

  References:
    Maddison, Mnih and Teh 2017, The Concrete Distribution, eq. (10), (11).
  """

  temperature: ArrayLike
  logits: ArrayLike

  # The entries of a point of the simplex depend on each other.
  is_independent = False
  lower_bounds = (('temperature', 0),)
  finite_parameters = ('logits',)
  family_parameters = ('temperature',)

  @property
  def shape(self) -> tuple[int, ...]:
    return jnp.shape(self.logits)

  def noise(self, key: Key) -> Array:
    return jax.random.gumbel(key, self.shape, self.dtype)

  def noise_log_prob(self, eps: Array) -> Array:
    return event_sum(-eps - jnp.exp(-eps))

  def mirror(self, eps: Array) -> Array:
    return mirror_gumbel(eps)

  def transform(self, eps: Array) -> LoggedDraw:
    check_event('eps', eps, self)
    scaled = (self.logits + eps) / self.temperature
    log_z = jax.nn.log_softmax(scaled, axis=-1)
    return keep_logs(jnp.exp(log_z), log_z)

  def inverse(self, z: Array) -> Array:
    raise TypeError(
      'RelaxedCategorical has no inverse: K noises map to K - 1 dimensions'
    )

  def log_prob(self, z: Array) -> Array:
    check_event('z', z, self)
    t, size = jnp.asarray(self.temperature), jnp.shape(self.logits)[-1]
    log_p = jax.nn.log_softmax(jnp.asarray(self.logits), axis=-1)
    inside = jnp.all(z > 0, axis=-1) & _sums_to_one(z)
    log_z = log_of(z, z > 0)
    ratio = jax.nn.logsumexp(log_p - t * log_z, axis=-1)
    constant = gammaln(float(size)) + (size - 1) * jnp.log(t)
    terms = jnp.sum(log_p - (t + 1) * log_z, axis=-1) - size * ratio
    return event_sum(
      restrict_to_support(inside, terms + constant, jnp.sum(z, axis=-1))
    )


def _sums_to_one(z: Array) -> Array:
  excess = jnp.sum(z, axis=-1) - 1
  return jnp.abs(excess) < float(jnp.finfo(excess.dtype).eps) ** 0.5
