"""Distributions of partly observed events."""

from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions._numerics import event_sum
from vae_jax.distributions.base import (
  Distribution,
  Elementwise,
  check_event,
  distribution,
)
from vae_jax.distributions.categorical import FiniteSupport
from vae_jax.types import Array, ArrayLike, Key


@distribution
class Masked(Distribution):
  """A distribution of independent entries, of which some are observed.

  log p(x_observed) = sum_i mask_i log p(x_i)

  Entries that are not observed leave the density, whatever their value, and
  are drawn like all others.

  Args:
    base: distribution of whole events, with independent entries.
    mask: whether each entry is observed, bool of the event's shape.

  Raises:
    TypeError: the entries of `base` are dependent, or not known to be
      independent.
  """

  base: Any
  mask: ArrayLike

  pathwise_parameters = ()

  def __post_init__(self) -> None:
    if isinstance(self.base, Distribution) and not admits_mask(self.base):
      raise TypeError(
        f'{self.base.name} has dependent entries: those that are not observed '
        'cannot be left out of its density'
      )

  @property
  def shape(self) -> tuple[int, ...]:
    shape: tuple[int, ...] = self.base.shape
    return shape

  @property
  def name(self) -> str:
    """Name of the distribution of whole events."""
    return str(self.base.name)

  @property
  def has_moments(self) -> bool:
    """True if the moments of whole events have a closed form."""
    return bool(self.base.has_moments)

  @property
  def is_discrete(self) -> bool:
    """True if whole events are discrete."""
    return bool(self.base.is_discrete)

  def sample(self, key: Key) -> Array:
    """Draws a whole event."""
    draw: Array = self.base.sample(key)
    return draw

  def mean(self) -> Array:
    """Returns the mean of whole events."""
    mean: Array = self.base.mean()
    return mean

  def variance(self) -> Array:
    """Returns the variance of whole events."""
    variance: Array = self.base.variance()
    return variance

  def log_prob(self, z: Array) -> Array:
    check_event('x', z, self)
    mask = jnp.ravel(jnp.broadcast_to(self.mask, self.shape))
    # A value such as nan would pass through the gradient of `where`.
    x = jnp.where(mask, jnp.ravel(z), jnp.zeros((), jnp.asarray(z).dtype))
    each = jax.vmap(lambda p, x: p.log_prob(x))(by_entry(self.base), x)
    return event_sum(jnp.where(mask, each, 0))


def admits_mask(p: Distribution) -> bool:
  """Returns whether entries of an event can leave the density of p."""
  return p.is_independent and isinstance(p, Elementwise | FiniteSupport)


def by_entry(p: Distribution) -> Distribution:
  """Returns p with one row of parameters per entry, `[n, ...]`."""
  rank = len(p.shape)
  if isinstance(p, Elementwise):
    row = lambda leaf: jnp.ravel(jnp.broadcast_to(leaf, p.shape))
  else:  # A trailing axis of categories.
    row = lambda leaf: jnp.reshape(leaf, (-1, *jnp.shape(leaf)[rank:]))
  rows: Distribution = jax.tree.map(row, p)
  return rows
