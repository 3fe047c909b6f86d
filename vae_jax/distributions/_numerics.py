"""Numerically stable primitives that several distributions share."""

import functools
from typing import Any

import jax.numpy as jnp

from vae_jax.types import Array, ArrayLike

EULER_GAMMA = 0.5772156649015329

# A GPU multiplies float32 matrices with 10 bits unless asked for all 24.
matmul = functools.partial(jnp.matmul, precision='highest')


def softplus(x: ArrayLike) -> Array:
  """Returns log(1 + exp(x)), finite in value and gradient for any finite x.

  Likelihoods spend most of their time here, and `jax.nn.softplus` takes four
  times as long on a CPU.
  """
  # By cases and not by max(x, 0) and |x|, whose gradients at 0 add up to 0.
  positive = jnp.greater(x, 0)
  return jnp.where(positive, x, 0) + jnp.log1p(
    jnp.exp(jnp.where(positive, -jnp.asarray(x), x))
  )


def event_sum(values: Array) -> Array:
  """Sums over all axes of the event, in float32 or wider, to `[]`."""
  # 784 Bernoulli terms summed in bfloat16 are off by half a nat.
  dtype = jnp.promote_types(values.dtype, jnp.float32)
  return jnp.sum(values, dtype=dtype)


def restrict_to_support(inside: Array, log_prob: Array) -> Array:
  """Returns `log_prob` inside the support and -inf outside."""
  return jnp.where(inside, log_prob, -jnp.inf)


def clip_above_zero(z: Array) -> Array:
  """Clips z to the smallest positive normal number, so log z is finite."""
  return jnp.maximum(z, jnp.finfo(z.dtype).tiny)


def clip_inside_unit_interval(z: Array) -> Array:
  """Clips z to the floats strictly between 0 and 1."""
  info = jnp.finfo(z.dtype)
  return jnp.clip(z, info.tiny, 1 - info.eps)


def float_dtype(*parameters: ArrayLike) -> Any:
  """Returns the floating dtype of draws from these parameters."""
  return jnp.result_type(float, *parameters)
