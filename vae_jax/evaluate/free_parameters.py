"""Unconstrained parameters of a distribution, for gradient descent on them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution


def free_parameters(
  q: Distribution,
) -> tuple[Any, Callable[[Any], Distribution]]:
  """Returns a pytree of free parameters, and the map from them back to q.

  A parameter above a number b is log(parameter - b). Those in
  `family_parameters` keep their value and are not part of the pytree.

  Args:
    q: any distribution; one without bounds and without `family_parameters` is
      returned as it is.
  """
  bounds = {
    name: bound
    for name, bound in q.lower_bounds
    if not isinstance(bound, str) and name not in q.family_parameters
  }
  if not bounds and not q.family_parameters:
    return q, lambda q: q
  fields = {
    field.name: getattr(q, field.name)
    for field in dataclasses.fields(q)  # type: ignore[arg-type]
    if not field.metadata.get('static')
    and field.name not in q.family_parameters
  }
  free = {
    name: jnp.log(jnp.asarray(value) - bounds[name])
    if name in bounds
    else value
    for name, value in fields.items()
  }

  def rebuild(free: dict[str, Any]) -> Distribution:
    values = {
      name: jnp.exp(value) + bounds[name] if name in bounds else value
      for name, value in free.items()
    }
    return dataclasses.replace(q, **values)  # type: ignore[type-var]

  return jax.tree.map(jnp.asarray, free), rebuild
