"""Mixture of discretised logistics over 8-bit colour pixels."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vae_jax.distributions._numerics import (
  event_sum,
  nan_where,
  restrict_to_support,
)
from vae_jax.distributions.base import Distribution, check_event, distribution
from vae_jax.distributions.pixels import (
  NUM_LEVELS,
  level_of,
  log_mass,
  sum_over_levels,
)
from vae_jax.types import Array, ArrayLike, Key

_TOP = NUM_LEVELS - 1


@distribution
class DiscretisedLogisticMixture(Distribution):
  """Pixels whose channels share one of K mixture components.

  p(x) = prod_i sum_k w_ik prod_c p_ikc(x_ic), i over pixels, c over channels,

  with w = softmax(logits) and p_ikc a `DiscretisedLogistic`. Channels are
  independent given the component, which makes them dependent: no channel
  enters the location of another. The probabilities of all 256^C colours of a
  pixel sum to 1.

  Args:
    logits: log-weights up to a constant, `[*pixels, K]`.
    loc: locations, `[*pixels, K, C]`; a pixel is in [0, 1], `loc` anywhere.
    log_scale: logs of the scales, `[*pixels, K, C]`.

  References:
    Salimans et al. 2017, PixelCNN++, eq. (1) and (2), without the
    autoregression over channels of eq. (3).
  """

  logits: ArrayLike
  loc: ArrayLike
  log_scale: ArrayLike

  pathwise_parameters = ()

  @property
  def shape(self) -> tuple[int, ...]:
    *pixels, _, channels = jnp.shape(self.loc)
    return (*pixels, channels)

  def log_prob(self, z: Array) -> Array:
    check_event('x', z, self)
    level, inside = level_of(z)
    log_masses = log_mass(
      jnp.broadcast_to(level[..., None, :], jnp.shape(self.loc)),
      jnp.asarray(self.loc),
      jnp.asarray(self.log_scale),
    )
    joint = self._log_weights + jnp.sum(log_masses, axis=-1)
    log_p = jax.nn.logsumexp(joint, axis=-1)
    return event_sum(
      restrict_to_support(
        jnp.all(inside, axis=-1), log_p, jnp.sum(level, axis=-1)
      )
    )

  def sample(self, key: Key) -> Array:
    component_key, noise_key = jax.random.split(key)
    k = jax.random.categorical(component_key, jnp.asarray(self.logits), axis=-1)
    loc, log_scale = (
      jnp.take_along_axis(jnp.asarray(x), k[..., None, None], axis=-2)
      for x in (self.loc, self.log_scale)
    )
    eps = jax.random.logistic(noise_key, loc.shape, loc.dtype)
    y = (loc + jnp.exp(log_scale) * eps)[..., 0, :]
    draw = jnp.clip(jnp.round(_TOP * y), 0, _TOP) / _TOP
    # As in the density, also of a component that is not drawn.
    weights = jnp.expand_dims(self.logits, -1)
    each = jnp.isnan(weights + self.loc + self.log_scale)
    return nan_where(each.any(axis=-2), draw)

  def mean(self) -> Array:
    return self._expectation(lambda x: x)

  def variance(self) -> Array:
    mean = self.mean()
    return self._expectation(lambda x: (x - mean) ** 2)

  @property
  def _log_weights(self) -> Array:
    return jax.nn.log_softmax(jnp.asarray(self.logits), axis=-1)

  def _expectation(self, f: Callable[[Array], Array]) -> Array:
    """Returns E[f(x)], elementwise, of the event's shape."""
    loc, log_scale = jnp.asarray(self.loc), jnp.asarray(self.log_scale)
    weights = jnp.exp(self._log_weights)[..., None]

    def mass(level: Array) -> Array:
      each = jnp.exp(log_mass(level, loc, log_scale))
      return jnp.sum(weights * each, axis=-2)

    return sum_over_levels(mass, f, jnp.zeros(self.shape, loc.dtype))
