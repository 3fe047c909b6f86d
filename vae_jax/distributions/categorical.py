"""The categorical distribution with independent coordinates."""

import jax
import jax.numpy as jnp

from vae_jax.distributions.base import (
  Distribution,
  check_event,
  distribution,
  event_sum,
  support,
)
from vae_jax.types import Array, ArrayLike, Key


@distribution
class Categorical(Distribution):
  """Independent labels z_i in 0..K-1 with p(z_i) = softmax(logits_i).

  log p(z) = sum_i logits_i[z_i] - logsumexp(logits_i)

  Labels are discrete: sampled, scored, never reparameterised.

  Args:
    logits: `[*event, K]`, log-probabilities up to a constant.
  """

  logits: ArrayLike

  pathwise_parameters = ()

  @property
  def shape(self) -> tuple[int, ...]:
    return jnp.shape(self.logits)[:-1]

  @property
  def log_probabilities(self) -> Array:
    """Normalised, `[*event, K]`."""
    return jax.nn.log_softmax(jnp.asarray(self.logits), axis=-1)

  def sample(self, key: Key) -> Array:
    return jax.random.categorical(key, jnp.asarray(self.logits), axis=-1)

  def log_prob(self, z: Array) -> Array:
    check_event('z', z, self)
    log_p = self.log_probabilities
    inside = (z >= 0) & (z < log_p.shape[-1])
    index = jnp.where(inside, z, 0).astype(jnp.int32)[..., None]
    chosen = jnp.take_along_axis(log_p, index, axis=-1)[..., 0]
    return event_sum(support(inside, chosen))

  def entropy(self) -> Array:
    log_p = self.log_probabilities
    # 0 log 0 = 0, and its gradient is no nan either.
    there = log_p > -jnp.inf
    return -event_sum(jnp.exp(log_p) * jnp.where(there, log_p, 0))

  def mean(self) -> Array:
    raise TypeError('Categorical has no mean: its labels are no numbers')
