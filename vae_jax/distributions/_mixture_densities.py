"""The log-density of each component of a mixture at one event."""

import jax
import jax.numpy as jnp

from vae_jax.distributions.base import Distribution, Elementwise, Event
from vae_jax.types import Array

# From here on the arrays [batch, M, D] leave a processor's cache.
_MANY = 64


def log_prob_each(components: Distribution, z: Event) -> Array:
  """Returns log p_m(z), `[M]`, of components with leading axes `[M]`.

  On a CPU many components of independent coordinates are summed coordinate by
  coordinate: XLA writes out arrays `[M, D]` for each z of a batch, and back
  through them its sum over the last axis takes one number at a time (500
  components, 40 coordinates: 7 times as long).
  """

  def direct() -> Array:
    return jax.vmap(lambda p: p.log_prob(z))(components)

  if not _is_many_vectors(components, z):
    return direct()
  loop = lambda: _sum_over_coordinates(components, z)
  return jax.lax.platform_dependent(cpu=loop, default=direct)


def _is_many_vectors(components: Distribution, z: Event) -> bool:
  if not isinstance(components, Elementwise) or not components.is_independent:
    return False
  if not isinstance(z, jax.Array) or z.ndim != 1:
    return False
  shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(components)]
  num_components = shapes[0][0]
  events = {shape[1:] for shape in shapes} - {()}
  return num_components >= _MANY and events == {z.shape}


def _sum_over_coordinates(components: Distribution, z: Array) -> Array:
  (num_components, *_) = jax.tree.leaves(components)[0].shape
  shape = (num_components, *z.shape)
  by_coordinate = jax.tree.map(
    lambda leaf: (
      jnp.broadcast_to(jnp.reshape(leaf, (num_components, -1)), shape).T
    ),
    components,
  )

  def add(total: Array, coordinate: tuple[Distribution, Array]) -> tuple:
    component, value = coordinate
    each = jax.vmap(lambda p: p.log_prob(value))(component)
    return total + each, None

  dtype = jax.eval_shape(lambda: _first(components).log_prob(z)).dtype
  start = jnp.zeros(num_components, dtype)
  # What the way back needs is cheaper computed again than kept.
  total, _ = jax.lax.scan(jax.checkpoint(add), start, (by_coordinate, z))
  return total


def _first(components: Distribution) -> Distribution:
  return jax.tree.map(lambda leaf: leaf[0], components)
