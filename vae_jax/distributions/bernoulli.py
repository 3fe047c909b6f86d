"""The Bernoulli distribution with independent dimensions."""

import jax
import jax.numpy as jnp

from vae_jax.distributions._numerics import event_sum, softplus
from vae_jax.distributions.base import Elementwise, check_event, distribution
from vae_jax.types import Array, ArrayLike, Key


@distribution
class Bernoulli(Elementwise):
  """Independent x_i in {0, 1} with p(x_i = 1) = sigmoid(logits_i).

  log p(x) = sum_i x_i logits_i - softplus(logits_i)

  Computed from logits without clamping, so it is exact at any logit.

  Args:
    logits: log-odds of a one, of the event's shape.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, eq. (11).
  """

  logits: ArrayLike

  pathwise_parameters = ()

  def sample(self, key: Key) -> Array:
    draw = jax.random.bernoulli(key, self.mean())
    return draw.astype(jnp.result_type(float, self.logits))

  def log_prob(self, z: Array) -> Array:
    check_event('x', z, self)
    # Flat: XLA's CPU code is ten times slower where the last axis has size 1,
    # such as the channel axis of a grey image.
    x, logits = jnp.ravel(z), jnp.ravel(self.logits)
    return event_sum(x * logits - softplus(logits))

  def entropy(self) -> Array:
    # H = softplus(l) - sigmoid(l) l, which tends to 0 at both ends.
    return event_sum(softplus(self.logits) - self.mean() * self.logits)

  def mean(self) -> Array:
    return jax.nn.sigmoid(self.logits)

  def variance(self) -> Array:
    return self.mean() * jax.nn.sigmoid(-jnp.asarray(self.logits))
