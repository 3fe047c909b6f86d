"""Domains of parameters: nan where traced, an error where concrete."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.types import Array, ArrayLike

# Methods that read parameters.
_READERS = (
  *('log_prob', 'entropy', 'mean', 'variance', 'covariance'),
  *('draw', 'draw_and_log_prob', 'sample', 'noise', 'transform', 'inverse'),
)
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
  """Turns lists of q into arrays and checks their domains; returns q.

  The domains are `lower_bounds` and `finite_parameters`.

  Args:
    q: a dataclass, as `distribution` makes it. Fields that are not numbers
      stay as they are: it may be a pytree of axes or of specifications.

  Raises:
    ValueError: a concrete value is outside its domain. Traced ones are nan.
  """
  # A copy that a pytree operation makes has no such mark.
  object.__setattr__(q, '_prepared', True)
  change = functools.partial(object.__setattr__, q)
  for field in dataclasses.fields(q):
    value = getattr(q, field.name)
    # As a pytree, a list would be one scalar parameter per entry.
    if isinstance(value, list | tuple) and field.type in (Array, ArrayLike):
      change(field.name, jnp.asarray(value))
  for name, bound in getattr(q, 'lower_bounds', ()):
    least = getattr(q, bound) if isinstance(bound, str) else bound
    if isinstance(least, _NUMERIC):
      _check(q, name, getattr(q, name), least, f'above {bound}')
  for name in getattr(q, 'finite_parameters', ()):
    if isinstance(getattr(q, name), _NUMERIC):
      _check(q, name, -abs(getattr(q, name)), -np.inf, 'finite')
  return q


def _check(q: Any, name: str, margin: Any, least: ArrayLike, must: str) -> None:
  """Refuses a parameter whose margin is at most `least`, or makes it nan."""
  value: Any = getattr(q, name)
  if not isinstance(value, _NUMERIC):
    return
  outside, somewhere = at_most(margin, least)
  if somewhere:
    known = np.broadcast_to(jax.lax.stop_gradient(value), outside.shape)
    worst = float(known[outside][0])
    raise ValueError(f'{q.name}: {name} is {worst:g}, must be {must}')
  if somewhere is None:
    # As a factor, the nan reaches the gradient too.
    nan = value * jnp.where(outside, jnp.nan, 1)
    object.__setattr__(q, name, nan)


def within_domain(q: Any) -> Any:
  """Returns q with the checks of its constructor, if it had none.

  `jax.tree.map`, as an optimizer applies it, may move a parameter outside.

  Raises:
    ValueError: as the constructor.
  """
  if getattr(q, '_prepared', False) or not _has_domain(type(q)):
    return q
  return dataclasses.replace(q)


def check_on_use(cls: type, interface: type) -> None:
  """Lets the methods of `cls` check parameters that its constructor did not.

  Only those that differ from the defaults of `interface`, which call these.
  """
  if not _has_domain(cls):
    return
  for name in _READERS:
    if getattr(cls, name) is not getattr(interface, name):
      setattr(cls, name, _checked(getattr(cls, name)))


def _checked(method: Callable[..., Any]) -> Callable[..., Any]:
  @functools.wraps(method)
  def checked(self: Any, *args: Any) -> Any:
    return method(within_domain(self), *args)

  return checked


def _has_domain(cls: type) -> bool:
  names = ('lower_bounds', 'finite_parameters')
  return any(getattr(cls, name, ()) for name in names)
