"""Which parameters of a distribution admit which gradient estimator.

A parameter that an estimator cannot serve raises when, and only when, it is
differentiated: never a silent zero, never a gradient with a term missing.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from vae_jax.types import Array


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _refusing(message: str, value: Array) -> Array:
  del message
  return value


def _refuse(message: str, primals: Any, tangents: Any) -> Any:
  (value,), (tangent,) = primals, tangents
  if type(tangent) is not SymbolicZero:
    raise TypeError(message)
  return value, jnp.zeros_like(value)


_refusing.defjvp(_refuse, symbolic_zeros=True)


def refuse_gradient(value: Any, message: str) -> Any:
  """Returns the pytree `value`; differentiating it raises `TypeError`."""
  return jax.tree.map(lambda leaf: _refusing(message, jnp.asarray(leaf)), value)


def guard(
  q: Any, admitted: tuple[str, ...] | None, gradient: str, reason: str
) -> Any:
  """Returns a distribution, its parameters not `admitted` guarded.

  Args:
    q: a dataclass, as `distribution` makes it.
    admitted: names of the parameters that have this gradient; None for all.
    gradient: what the others have not, for the message.
    reason: why they have not.
  """
  if admitted is None:
    return q
  guarded = {
    field.name: refuse_gradient(
      getattr(q, field.name),
      f'{type(q).__name__} has no {gradient} in {field.name}: {reason}',
    )
    for field in dataclasses.fields(q)
    if field.name not in admitted and not field.metadata.get('static')
  }
  return dataclasses.replace(q, **guarded)
