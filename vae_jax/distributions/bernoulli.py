"""The Bernoulli distribution with independent dimensions."""

import jax
import jax.numpy as jnp

from vae_jax.distributions._numerics import (
  absolute,
  event_sum,
  nan_where,
  restrict_to_support,
  softplus,
)
from vae_jax.distributions.base import Elementwise, check_event, distribution
from vae_jax.distributions.support import BINARY
from vae_jax.types import Array, ArrayLike, Key


@distribution
class Bernoulli(Elementwise):
  """Independent x_i in {0, 1} with p(x_i = 1) = sigmoid(logits_i).

  log p(x) = sum_i x_i logits_i - softplus(logits_i)

  Computed from logits without clamping, so it is exact at any logit, infinite
  ones included. `log_prob` is -inf at numbers other than 0 and 1, such as grey
  pixels.

  Args:
    logits: log-odds of a one, of the event's shape.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, eq. (11).

  Examples:
    >>> print(f'{vj.Bernoulli(jnp.zeros(2)).log_prob(jnp.ones(2)):.3f}')
    -1.386
  """

  logits: ArrayLike

  pathwise_parameters = ()
  support = BINARY

  def sample(self, key: Key) -> Array:
    p = self.mean()
    draw = jax.random.bernoulli(key, p)
    return nan_where(jnp.isnan(p), draw.astype(p.dtype))

  def log_prob(self, z: Array) -> Array:
    check_event('x', z, self)
    # Flat: XLA's CPU code is ten times slower where the last axis has size 1,
    # such as the channel axis of a grey image.
    x, logits = jnp.ravel(z), jnp.ravel(self.logits)
    # Not x logits - softplus(logits), which is inf - inf at a sure one.
    log_p = -softplus(jnp.where(x == 1, -logits, logits))
    return event_sum(restrict_to_support((x == 0) | (x == 1), log_p, x))

  def entropy(self) -> Array:
    # H = softplus(-a) + a sigmoid(-a), a = |logits|. The clip replaces
    # inf * 0 by its limit, 0.
    a = jnp.minimum(absolute(self.logits), 1e3)
    return event_sum(softplus(-a) + a * jax.nn.sigmoid(-a))

  def mean(self) -> Array:
    return jax.nn.sigmoid(self.logits)

  def variance(self) -> Array:
    return self.mean() * jax.nn.sigmoid(-jnp.asarray(self.logits))
