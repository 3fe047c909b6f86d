"""Draws that keep log z beside z, where float32 rounds z to 0 or 1."""

import dataclasses
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.types import Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class LoggedDraw:
  """A draw z with log z and log(1 - z): an array to whatever consumes it.

  float32 has no number between 1 - 6e-8 and 1, nor between 0 and 1e-38. Log-
  densities near such an end need the digits that z has lost, so the draw of a
  family with much mass there brings them. `log_prob` of any family over the
  same support reads them; arithmetic, indexing, `jnp` functions and networks
  see `value`. It is a pytree: `jit`, `vmap`, `scan` and gradients pass it on.

  `jnp.asarray(z)` returns the plain array. Functions of `jax.lax`, and those of
  `jax.nn` that are one of these, such as `sigmoid`, take nothing else: they
  raise "Triggering __jax_array__() during abstractification".

  All derivatives pass through `value` and none through the logarithms, so the
  gradient with respect to a draw is that of an array. A function that returns
  a draw has draws as its cotangents and tangents; let it return
  `jnp.asarray(z)`, also under `jax.grad`, for those to be arrays.

  Attributes:
    value: z, strictly inside the support in its own dtype.
    exact_log: log z, of its shape, without derivatives.
    exact_log_complement: log(1 - z) of a z in (0, 1), likewise; None for other
      supports.
  """

  value: Array
  exact_log: Array
  exact_log_complement: Array | None = None

  @property
  def log_z(self) -> Array:
    """Returns log z."""
    return _with_value(self.exact_log, jnp.log(self.value))

  @property
  def log_complement(self) -> Array:
    """Returns log(1 - z) of a z in (0, 1)."""
    if self.exact_log_complement is None:
      raise AttributeError('the support is not (0, 1)')
    return _with_value(self.exact_log_complement, jnp.log1p(-self.value))

  # NumPy leaves `array * draw` to the draw.
  __array_priority__ = 100

  def __jax_array__(self) -> Array:
    return jnp.asarray(self.value)

  def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
    del copy  # The array on the device is never shared.
    return np.asarray(self.value, dtype)

  def __getattr__(self, name: str) -> Any:
    # `copy` and `pickle` ask for special methods before `value` exists.
    if name.startswith('__'):
      raise AttributeError(name)
    return getattr(self.value, name)


def _forward(function: Callable[..., Any], reflected: bool = False) -> Any:
  """Returns the special method that applies `function` to the value."""
  if reflected:
    return lambda self, other: function(jnp.asarray(other), self.value)
  return lambda self, *others: function(self.value, *others)


for _name in (
  *('add', 'sub', 'mul', 'truediv', 'floordiv', 'mod', 'pow', 'matmul'),
):
  _function = getattr(operator, _name)
  setattr(LoggedDraw, f'__{_name}__', _forward(_function))
  setattr(LoggedDraw, f'__r{_name}__', _forward(_function, reflected=True))
for _name in (
  'lt',
  'le',
  'gt',
  'ge',
  'eq',
  'ne',
  'neg',
  'pos',
  'abs',
  'getitem',
):
  setattr(LoggedDraw, f'__{_name}__', _forward(getattr(operator, _name)))
for _function in (len, iter, bool, float, int):
  setattr(LoggedDraw, f'__{_function.__name__}__', _forward(_function))


def plain(event: Any) -> Any:
  """Returns an event, or a dict of events, with plain arrays as its leaves."""
  is_draw = lambda leaf: isinstance(leaf, LoggedDraw)
  return jax.tree.map(jnp.asarray, event, is_leaf=is_draw)


def keep_logs(
  value: Array, log_z: Array, log_complement: Array | None = None
) -> LoggedDraw:
  """Returns the draw of these logarithms, with derivatives in `value` alone.

  A z that its dtype cannot hold moves to the nearest number c that it can, and
  dz there is c dlog z, or c (1 - c) dlogit z: dividing by c, as the derivative
  of log c does, returns dlog z.

  Args:
    value: z, as near to `exp(log_z)` as its dtype holds it.
    log_z: log z.
    log_complement: log(1 - z) of a z in (0, 1); None for other supports.
  """
  info = jnp.finfo(value.dtype)
  # The product of c and a derivative of log z must not underflow.
  value = jnp.maximum(value, info.tiny / info.eps)
  if log_complement is not None:
    value = jnp.minimum(value, 1 - info.eps)
  logs = jax.lax.stop_gradient((log_z, log_complement))
  return LoggedDraw(_attach(value, log_z, log_complement), *logs)


@jax.custom_jvp
def _attach(value: Array, log_z: Array, log_complement: Any) -> Array:
  """Returns `value` with the derivatives of the logarithms."""
  del log_z, log_complement
  return value


@_attach.defjvp
def _attach_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
  value = _attach(*primals)
  _, log_z, log_complement = tangents
  if primals[2] is None:
    return value, value * log_z
  return value, value * (1 - value) * (log_z - log_complement)


def logs_of(z: Any, inside: Array) -> tuple[Array, Array]:
  """Returns log z and log(1 - z), 0 < z < 1; log .5 where not `inside`."""
  if isinstance(z, LoggedDraw) and z.exact_log_complement is not None:
    return z.log_z, z.log_complement
  safe = jnp.where(inside, jnp.asarray(z), 0.5)
  return jnp.log(safe), jnp.log1p(-safe)


def log_of(z: Any, inside: Array) -> Array:
  """Returns log z, z > 0; 0 where not `inside`."""
  if isinstance(z, LoggedDraw):
    return z.log_z
  return jnp.log(jnp.where(inside, jnp.asarray(z), 1))


def _with_value(exact: Array, computed: Array) -> Array:
  """Returns the value of `exact` with the derivatives of `computed`."""
  stop = jax.lax.stop_gradient
  return stop(exact) + (computed - stop(computed))
