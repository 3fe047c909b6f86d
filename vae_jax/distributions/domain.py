"""Domains of parameters: nan where traced, an error where concrete."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.types import Array, ArrayLike

_NUMERIC = (jax.Array, np.ndarray, np.number, float, int)


def at_most(value: ArrayLike, bound: ArrayLike) -> tuple[Any, bool | None]:
  """Returns value <= bound, and whether it holds anywhere.

  The latter is None where it is unknown, inside `jit` or `vmap`.
  """
  # Inside `grad` alone the values are known.
  value, bound = jax.lax.stop_gradient((value, bound))
  if any(isinstance(x, jax.core.Tracer) for x in (value, bound)):
    return jnp.less_equal(value, bound), None
  outside: Any = np.less_equal(value, bound)
  return outside, bool(outside.any())


def prepare_parameters(q: Any) -> Any:
  """Turns lists of q into arrays and applies its `lower_bounds`; returns q.

  Args:
    q: a dataclass, as `distribution` makes it. Fields that are not numbers
      stay as they are: it may be a pytree of axes or of specifications.

  Raises:
    ValueError: a concrete value is not above its bound. Traced ones are nan.
  """
  change = functools.partial(object.__setattr__, q)
  for field in dataclasses.fields(q):
    value = getattr(q, field.name)
    # As a pytree, a list would be one scalar parameter per entry.
    if isinstance(value, list | tuple) and field.type in (Array, ArrayLike):
      change(field.name, jnp.asarray(value))
  for name, bound in getattr(q, 'lower_bounds', ()):
    value = getattr(q, name)
    least = getattr(q, bound) if isinstance(bound, str) else bound
    if not (isinstance(value, _NUMERIC) and isinstance(least, _NUMERIC)):
      continue
    outside, somewhere = at_most(value, least)
    if somewhere:
      known = np.broadcast_to(jax.lax.stop_gradient(value), outside.shape)
      worst = float(known[outside][0])
      raise ValueError(f'{q.name}: {name} is {worst:g}, must be above {bound}')
    if somewhere is None:
      # As a factor, the nan reaches the gradient too.
      change(name, value * jnp.where(outside, jnp.nan, 1))
  return q
