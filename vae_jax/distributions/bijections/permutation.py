"""Permutations of the dimensions of an event."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from vae_jax.distributions.base import distribution
from vae_jax.distributions.bijections.base import Bijection
from vae_jax.types import Array


@distribution
class Permutation(Bijection):
  """y_i = x_order[i]; log|det dy/dx| = 0.

  Args:
    order: the integers 0 to n - 1 in any order, as a tuple.

  Raises:
    ValueError: `order` is not a permutation.
  """

  order: tuple[int, ...] = dataclasses.field(metadata={'static': True})

  def __post_init__(self) -> None:
    if sorted(self.order) != list(range(len(self.order))):
      raise ValueError(
        f'order: got {self.order}, expected each of 0 to '
        f'{len(self.order) - 1} once'
      )

  @classmethod
  def reversal(cls, size: int) -> 'Permutation':
    """Returns the permutation that reverses `size` dimensions."""
    return cls(tuple(reversed(range(size))))

  def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
    return x[np.array(self.order)], jnp.zeros((), x.dtype)

  def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
    return y[np.argsort(self.order)], jnp.zeros((), y.dtype)
