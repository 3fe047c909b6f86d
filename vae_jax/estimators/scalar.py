"""Evaluation of the function whose expectation is estimated."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vae_jax.types import Array


def evaluate_scalar(f: Callable[[Array], Array], z: Array) -> Array:
  """Returns f at each of `[N, *event]` draws, `[N]`.

  Raises:
    ValueError: `f` returns anything but a scalar.
  """
  values = jax.vmap(f)(z)
  if jnp.ndim(values) != 1:
    raise ValueError(
      f'f returns shape {jnp.shape(values)[1:]}: it must return a scalar'
    )
  return values
