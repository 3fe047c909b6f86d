"""A function that is the identity, and scales the gradient through it."""

from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.types import Array, ArrayLike


@jax.custom_jvp
def scale_gradient(x: Array, factor: ArrayLike) -> Array:
  """Returns x; the gradient that comes back through it is `factor` times it.

  Args:
    x: any array.
    factor: `[]`, never differentiated.
  """
  del factor
  return x


@scale_gradient.defjvp
def _scale(primals: Any, tangents: Any) -> Any:
  x, factor = primals
  return x, jnp.asarray(factor, x.dtype) * tangents[0]
