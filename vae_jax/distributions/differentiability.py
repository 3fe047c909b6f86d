"""Parameters that raise when an estimator without their gradient is used.

A parameter that an estimator does not support raises if and only if it is
differentiated: never a silent zero, never a gradient with a missing term.
Neither is the second derivative of a surrogate whose first alone is right.
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


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _once(message: str, value: Array) -> Array:
  del message
  return value


@_once.defjvp
def _differentiate_once(message: str, primals: Any, tangents: Any) -> Any:
  (value,), (tangent,) = primals, tangents
  # The derivative depends on the raising value, and is unchanged by it.
  unit = jnp.where(jnp.isnan(_raising(message, value)), 1, 1)
  return value, tangent * unit.astype(tangent.dtype)


def first_order_only(value: Array, estimator: str, instead: str) -> Array:
  """Returns an estimate whose second derivatives raise `TypeError`.

  Args:
    value: the estimate.
    estimator: name of the estimator, for the message.
    instead: an estimator that has second derivatives, for the message.
  """
  message = f'{estimator} has no second derivatives: use {instead}'
  return _once(message, value)


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
