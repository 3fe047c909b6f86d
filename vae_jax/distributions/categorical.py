"""Categorical distributions with independent dimensions."""

import jax
import jax.numpy as jnp

from vae_jax.distributions._numerics import event_sum, restrict_to_support
from vae_jax.distributions.base import Distribution, check_event, distribution
from vae_jax.distributions.support import LABELS
from vae_jax.types import Array, ArrayLike, Key


class FiniteSupport(Distribution):
  """Independent dimensions that each take one of K values."""

  pathwise_parameters = ()
  is_independent = True

  @property
  def log_probabilities(self) -> Array:
    """Normalised log-probabilities, `[*event, K]`."""
    raise NotImplementedError

  def entropy(self) -> Array:
    log_p = self.log_probabilities
    # 0 log 0 = 0; without the mask its gradient would be nan.
    possible = log_p > -jnp.inf
    return -event_sum(jnp.exp(log_p) * jnp.where(possible, log_p, 0))

  def _log_prob_of(self, number: Array, inside: Array) -> Array:
    """Sums log p of the values of a number; -inf where not `inside`."""
    index = jnp.where(inside, number, 0).astype(jnp.int32)[..., None]
    log_p = self.log_probabilities
    chosen = jnp.take_along_axis(log_p, index, axis=-1)[..., 0]
    return event_sum(restrict_to_support(inside, chosen, number))


@distribution
class Categorical(FiniteSupport):
  """Independent labels z_i in 0..K-1 with p(z_i) = softmax(logits_i).

  log p(z) = sum_i logits_i[z_i] - logsumexp(logits_i)

  Labels can be sampled but not reparameterised. They are integers: a label of
  nan logits is some number, and its log-probability is nan.

  Args:
    logits: `[*event, K]`, log-probabilities up to a constant.

  Examples:
    >>> print(f'{vj.Categorical(jnp.zeros(4)).entropy():.3f}')
    1.386
  """

  logits: ArrayLike

  support = LABELS

  @property
  def shape(self) -> tuple[int, ...]:
    return jnp.shape(self.logits)[:-1]

  @property
  def log_probabilities(self) -> Array:
    """Normalised log-probabilities, `[*event, K]`."""
    return jax.nn.log_softmax(jnp.asarray(self.logits), axis=-1)

  def sample(self, key: Key) -> Array:
    return jax.random.categorical(key, jnp.asarray(self.logits), axis=-1)

  def log_prob(self, z: Array) -> Array:
    check_event('z', z, self)
    # Compared as floats: 300 labels are 44 in the integers of a uint8.
    number = jnp.asarray(z, float)
    whole = (number >= 0) & (number == jnp.floor(number))
    num_labels = jnp.shape(self.logits)[-1]
    return self._log_prob_of(number, whole & (number < num_labels))

  def mean(self) -> Array:
    raise TypeError('Categorical has no mean: its labels are not numbers')

  def variance(self) -> Array:
    raise TypeError('Categorical has no variance: its labels are not numbers')

  @property
  def has_moments(self) -> bool:
    return False
