"""Host callbacks with first derivatives, under jit, vmap, grad and scan.

`jax.pure_callback` hands its function arrays of jax. Copying them waits for a
thread of XLA, and where the callback holds the only one, it waits for ever. The
primitives here hand over NumPy views and start nothing of jax.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from vae_jax.types import Array

Arrays = Sequence[np.ndarray]


class HostFunction(Protocol):
  """A pure function of NumPy arrays and its vector-Jacobian product.

  Inputs have leading axes, in front of those of one example. Each has the size
  of the batch, or 1 for an input that is the same along it. No method may call
  jax.
  """

  def value(self, inputs: Arrays, *, batch_axes: int) -> Arrays:
    """Returns the outputs, with `batch_axes` leading axes of full size."""

  def pullback(
    self,
    inputs: Arrays,
    cotangents: Arrays,
    *,
    which: tuple[int, ...],
    batch_axes: int,
    map_axes: int,
  ) -> Arrays:
    """Returns the cotangents of some inputs.

    Args:
      inputs: arrays with `map_axes`, then `batch_axes` leading axes.
      cotangents: cotangents of the outputs, with the same leading axes.
      which: indices of the inputs whose cotangents are wanted.
      batch_axes: axes of one call of `value`: a cotangent has the shape of its
        input, summed along those where that input has size 1.
      map_axes: axes over independent calls, never summed.
    """


def call(
  function: HostFunction,
  inputs: Sequence[Array],
  outputs: Sequence[jax.ShapeDtypeStruct],
) -> list[Array]:
  """Calls a function of the host for one example; `vmap` adds batch axes.

  Reverse mode gives first derivatives.

  Args:
    function: called once per batch, with NumPy arrays.
    inputs: arrays of one example.
    outputs: shapes and dtypes of the outputs for one example.

  Raises:
    TypeError: a second derivative, or one in forward mode, when it is computed.
  """
  static = tuple((x.shape, np.dtype(x.dtype)) for x in outputs)
  return _value_p.bind(*inputs, function=function, outputs=static, batch_axes=0)


_value_p = Primitive('host_function')
_tangent_p = Primitive('host_function_tangent')
_pullback_p = Primitive('host_function_pullback')
for _primitive in (_value_p, _tangent_p, _pullback_p):
  _primitive.multiple_results = True


def _value(
  *inputs: np.ndarray, function: HostFunction, batch_axes: int, **_: Any
) -> Arrays:
  return function.value(inputs, batch_axes=batch_axes)


def _pullback(
  *operands: np.ndarray,
  function: HostFunction,
  outputs: tuple[Any, ...],
  **params: Any,
) -> Arrays:
  count = len(operands) - len(outputs)
  return function.pullback(operands[:count], operands[count:], **params)


def _leading(operands: Sequence[Any], axes: int) -> tuple[int, ...]:
  """Returns the sizes of leading axes along which operands have it or 1."""
  return np.broadcast_shapes(*(x.shape[:axes] for x in operands))


def _value_shapes(
  *avals: Any, outputs: tuple[Any, ...], batch_axes: int, **_: Any
) -> list[Any]:
  batch = _leading(avals, batch_axes)
  return [jax.core.ShapedArray(batch + s, dtype) for s, dtype in outputs]


def _pullback_shapes(
  *avals: Any, which: tuple[int, ...], map_axes: int, **_: Any
) -> list[Any]:
  mapped = _leading(avals, map_axes)
  return [
    avals[i].update(shape=mapped + avals[i].shape[map_axes:]) for i in which
  ]


def _with_leading_axis(
  operands: Sequence[Array], dims: Sequence[int | None]
) -> list[Array]:
  """Moves the mapped axes to the front; other operands get one of size 1."""
  return [
    jnp.expand_dims(x, 0) if dim is None else jnp.moveaxis(x, dim, 0)
    for x, dim in zip(operands, dims, strict=True)
  ]


def _batch_value(
  inputs: Sequence[Array],
  dims: Sequence[int | None],
  *,
  batch_axes: int,
  **params: Any,
) -> Any:
  moved = _with_leading_axis(inputs, dims)
  found = _value_p.bind(*moved, batch_axes=batch_axes + 1, **params)
  return found, [0] * len(found)


def _batch_pullback(
  operands: Sequence[Array],
  dims: Sequence[int | None],
  *,
  map_axes: int,
  **params: Any,
) -> Any:
  moved = _with_leading_axis(operands, dims)
  found = _pullback_p.bind(*moved, map_axes=map_axes + 1, **params)
  return found, [0] * len(found)


def _differentiate(
  inputs: Sequence[Array], tangents: Sequence[Any], **params: Any
) -> Any:
  """Returns the outputs, and tangents that exist only to be transposed."""
  which = tuple(
    i
    for i, (x, tangent) in enumerate(zip(inputs, tangents, strict=True))
    if type(tangent) is not ad.Zero and jnp.issubdtype(x.dtype, jnp.inexact)
  )
  moving = [tangents[i] for i in which]
  return (
    _value_p.bind(*inputs, **params),
    _tangent_p.bind(*inputs, *moving, which=which, **params),
  )


def _transpose(
  cotangents: Sequence[Any],
  *operands: Any,
  which: tuple[int, ...],
  **params: Any,
) -> list[Any]:
  count = len(operands) - len(which)
  found = _pullback_p.bind(
    *operands[:count],
    *map(ad.instantiate_zeros, cotangents),
    which=which,
    map_axes=0,
    **params,
  )
  return [None] * count + list(found)


def _refuse(order: str) -> Any:
  def refuse(*_: Any, function: HostFunction, **__: Any) -> Any:
    raise TypeError(
      f'{function!r} has no {order}: it has first derivatives in reverse mode, '
      'by jax.grad or jax.vjp'
    )

  return refuse


def _lower(compute: Any) -> Any:
  """Returns the rule that calls `compute` from a compiled program."""

  def rule(ctx: Any, *operands: Any, **params: Any) -> Any:
    results, _, _ = mlir.emit_python_callback(
      ctx,
      lambda *arrays: tuple(compute(*arrays, **params)),
      None,
      list(operands),
      ctx.avals_in,
      ctx.avals_out,
      has_side_effect=False,
      returns_token=False,
    )
    return results

  return rule


def _now(compute: Any) -> Any:
  """Returns the rule outside of `jit`, where no thread of XLA is held."""

  def rule(*operands: Array, **params: Any) -> list[Array]:
    found = compute(*map(np.asarray, operands), **params)
    return [jnp.array(x) for x in found]

  return rule


_value_p.def_abstract_eval(_value_shapes)
_value_p.def_impl(_now(_value))
batching.primitive_batchers[_value_p] = _batch_value
ad.primitive_jvps[_value_p] = _differentiate
# The callback belongs to this process: its program cannot be shared.
mlir.register_lowering(_value_p, _lower(_value), cacheable=False)

_refuse_forward = _refuse('derivative in forward mode')
_tangent_p.def_abstract_eval(_value_shapes)
_tangent_p.def_impl(_refuse_forward)
batching.primitive_batchers[_tangent_p] = _refuse_forward
ad.primitive_transposes[_tangent_p] = _transpose
mlir.register_lowering(_tangent_p, _refuse_forward)

_pullback_p.def_abstract_eval(_pullback_shapes)
_pullback_p.def_impl(_now(_pullback))
batching.primitive_batchers[_pullback_p] = _batch_pullback
ad.primitive_jvps[_pullback_p] = _refuse('second derivative')
mlir.register_lowering(_pullback_p, _lower(_pullback), cacheable=False)
