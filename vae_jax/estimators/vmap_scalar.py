"""Batched evaluation of a scalar function."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vae_jax.distributions._numerics import float_dtype
from vae_jax.distributions.base import Event
from vae_jax.types import Array


def evaluate_scalar(f: Callable[[Event], Array], z: Event) -> Array:
  """Returns f at each of `[N, *event]` draws, by `vmap`; `[N]`, floating.

  Raises:
    ValueError: `f` does not return a scalar.
  """
  values = jax.vmap(f)(z)
  if jnp.ndim(values) != 1:
    raise ValueError(
      f'f returns shape {jnp.shape(values)[1:]}: it must return a scalar'
    )
  # Differences of unsigned integers would wrap around.
  return jnp.asarray(values, float_dtype(values))
