"""Clipping with a straight-through gradient."""

import jax
import jax.numpy as jnp

from vae_jax.types import Array

# exp(2 x 20) stays a float32 when many are summed, squared and summed again.
_MOST = 20.0


def clip_straight_through(
  log_scale: Array, low: float = -_MOST, high: float = _MOST
) -> Array:
  """Clips log-scales to [low, high] with a straight-through gradient.

  A network may return any number. Beyond 20 the KL, the density of the data
  or the norm of their gradients would overflow float32 and end the run. The
  gradient at the bound passes unchanged and pulls the number back.
  """
  clipped = jnp.clip(log_scale, low, high)
  return log_scale + jax.lax.stop_gradient(clipped - log_scale)
