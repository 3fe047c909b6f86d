"""The identity function with a scaled gradient."""

from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.types import ArrayLike


@jax.custom_jvp
def scale_gradient(x: Any, factor: ArrayLike) -> Any:
  """Returns x; multiplies the gradient through it by `factor`.

  Args:
    x: a pytree of arrays.
    factor: `[]`; its own gradient is 0.
  """
  del factor
  return x


@scale_gradient.defjvp
def _scale(primals: Any, tangents: Any) -> Any:
  x, factor = primals
  scale = lambda x, t: jnp.asarray(factor, x.dtype) * t
  return x, jax.tree.map(scale, x, tangents[0])
