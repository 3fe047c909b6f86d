"""Parameters that raise when an estimator without their gradient is used.

A parameter that an estimator does not support raises if and only if it is
differentiated: never a silent zero, never a gradient with a missing term.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from vae_jax.types import Array


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _raising(message: str, value: Array) -> Array:
  del message
  return value


def _raise(message: str, primals: Any, tangents: Any) -> Any:
  (value,), (tangent,) = primals, tangents
  if type(tangent) is not SymbolicZero:
    raise TypeError(message)
  return value, jnp.zeros_like(value)


_raising.defjvp(_raise, symbolic_zeros=True)


def raise_on_gradient(value: Any, message: str) -> Any:
  """Returns the pytree `value`; differentiating it raises `TypeError`."""
  return jax.tree.map(lambda leaf: _raising(message, jnp.asarray(leaf)), value)


def admit_gradients(
  q: Any, admitted: tuple[str, ...] | None, gradient: str, reason: str
) -> Any:
  """Returns q; differentiating any other than the `admitted` fields raises.

  Args:
    q: a dataclass, as `distribution` makes it.
    admitted: names of the fields that have this gradient; None for all.
    gradient: name of the gradient, for the message.
    reason: why the other fields do not have it, for the message.
  """
  if admitted is None:
    return q
  raising = {
    field.name: raise_on_gradient(
      getattr(q, field.name),
      f'{type(q).__name__} has no {gradient} in {field.name}: {reason}',
    )
    for field in dataclasses.fields(q)
    if field.name not in admitted and not field.metadata.get('static')
  }
  return dataclasses.replace(q, **raising)
