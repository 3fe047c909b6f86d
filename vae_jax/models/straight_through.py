"""Clipping with a straight-through gradient."""

import jax
import jax.numpy as jnp

from vae_jax.types import Array

# exp(2 x 20) stays a float32 when many are summed, squared and summed again.
_MOST = 20.0


def clip_straight_through(
  x: Array, low: float = -_MOST, high: float = _MOST
) -> Array:
  """Clips to [low, high] with a straight-through gradient.

  A network may return any number. Log-scales beyond 20 would overflow float32
  in the KL, the density of the data or the norm of their gradients, and end
  the run. The gradient at the bound passes unchanged and pulls the number back.

  Args:
    x: log-scales, or other numbers with the bounds given.
    low: lower bound.
    high: upper bound.
  """
  clipped = jnp.clip(x, low, high)
  return x + jax.lax.stop_gradient(clipped - x)
