"""Lowering of a graph to the operations of `program.js`.

Few operations remain: a slice, transpose, reversal or broadcast is a strided
view; concatenation and padding place strided arrays; every contraction is a
matrix product. Numbers are float64 in the page, and booleans are 0 and 1.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vae_jax.runs.report.decoder.contractions import convolution, dot
from vae_jax.runs.report.decoder.emitter import (
  Emitter,
  Shape,
  UnsupportedError,
  row_major,
)
from vae_jax.runs.report.decoder.graph import Graph, graph_of

# Operations of each element, with the name of their primitive.
_ELEMENTWISE = {
  *('abs', 'add', 'and', 'cbrt', 'ceil', 'cos', 'div', 'eq', 'erf', 'erfc'),
  *('exp', 'exp2', 'expm1', 'floor', 'ge', 'gt', 'is_finite', 'le', 'log'),
  *('log1p', 'logistic', 'lt', 'max', 'min', 'mul', 'ne', 'neg', 'not', 'or'),
  *('pow', 'rsqrt', 'select_n', 'sign', 'sin', 'sqrt', 'sub', 'tanh'),
}
# Primitives that return their input.
_SAME = {'copy', 'copy_p', 'optimization_barrier', 'stop_gradient'}
_REDUCTIONS = {
  'reduce_sum': 'add',
  'reduce_prod': 'mul',
  'reduce_max': 'max',
  'reduce_min': 'min',
  'reduce_and': 'min',
  'reduce_or': 'max',
}
# float64 represents every number of these exactly.
_DTYPES = ('float32', 'float64', 'int32', 'int64', 'bool')
# Operations that differ for integers, which overflow or truncate.
_REAL_ONLY = {'div', 'pow', 'integer_pow', 'cumsum'}
_BOOLEAN_ONLY = {'and', 'or', 'not'}


def lower(
  graph: Graph, emitter: Emitter, inputs: Sequence[int] | None = None
) -> tuple[list[int], list[int]]:
  """Adds the operations of a graph.

  Args:
    graph: the graph.
    emitter: receives the operations.
    inputs: values of the emitter; None to add them.

  Returns:
    Inputs and outputs, as values of the emitter.

  Raises:
    UnsupportedError: a primitive, or an option of one, is not supported.
  """
  if inputs is None:
    inputs = [emitter.new(graph.avals[i].shape) for i in graph.inputs]
  values = dict(zip(graph.inputs, inputs, strict=True))
  for number, constant in graph.constants.items():
    _check_dtype('constant', constant.dtype)
    values[number] = emitter.constant(constant)
  for equation in graph.equations:
    name = equation.primitive.name
    avals = [graph.avals[i] for i in equation.outputs]
    given = [graph.avals[i] for i in equation.inputs]
    for aval in (*given, *avals):
      _check_dtype(name, aval.dtype)
    if name in _REAL_ONLY and avals[0].dtype.kind != 'f':
      raise UnsupportedError(f'{name} of integers')
    if name in _BOOLEAN_ONLY and avals[0].dtype != bool:
      raise UnsupportedError(f'{name} of integers')
    own = [values[i] for i in equation.inputs]
    found = _rule(name)(emitter, equation.params, own, avals)
    values |= dict(zip(equation.outputs, found, strict=True))
  return [*inputs], [values[i] for i in graph.outputs]


def _check_dtype(name: str, dtype: Any) -> None:
  if str(dtype) not in _DTYPES:
    raise UnsupportedError(f'{name} of {dtype}')


# (emitter, params, inputs, avals of the outputs) -> outputs
Rule = Callable[[Emitter, dict[str, Any], list[int], list[Any]], list[int]]


def _rule(name: str) -> Rule:
  if name in _ELEMENTWISE:
    return lambda e, _, x, out: [_elementwise(e, name, x, out[0].shape)]
  if name in _SAME:
    return lambda e, _, x, out: x
  if name in _REDUCTIONS:
    kind = _REDUCTIONS[name]
    return lambda e, params, x, out: [_reduce(e, kind, x[0], params['axes'])]
  if name not in _RULES:
    raise UnsupportedError(f'the primitive {name}')
  return _RULES[name]


def _elementwise(
  e: Emitter, name: str, inputs: Sequence[int], shape: Shape
) -> int:
  """Applies a function to each element; a single element fits any shape."""

  def fit(x: int) -> int:
    own = e.shapes[x]
    return x if math.prod(own) == 1 or own == shape else e.stretch(x, shape)

  return e.add(name, [fit(x) for x in inputs], shape)


def _reduce(e: Emitter, kind: str, x: int, axes: Sequence[int]) -> int:
  shape = e.shapes[x]
  kept = [i for i in range(len(shape)) if i not in axes]
  count = math.prod(shape[i] for i in axes)
  if not count:
    raise UnsupportedError(f'the reduction {kind} of no element')
  x = e.transpose(x, [*kept, *axes])
  return e.add('reduce', [x], [shape[i] for i in kept], kind=kind, count=count)


def _convert(
  e: Emitter, params: dict[str, Any], x: list[int], out: list[Any]
) -> list[int]:
  kind = np.dtype(params['new_dtype']).kind
  name = {'b': 'truth', 'i': 'trunc'}.get(kind)
  return x if name is None else [e.add(name, x, out[0].shape)]


def _reshape(
  e: Emitter, _: dict[str, Any], x: list[int], out: list[Any]
) -> list[int]:
  return [e.reshape(x[0], out[0].shape)]


def _broadcast(
  e: Emitter, params: dict[str, Any], x: list[int], out: list[Any]
) -> list[int]:
  return [e.stretch(x[0], out[0].shape, params['broadcast_dimensions'])]


def _slice(
  e: Emitter, params: dict[str, Any], x: list[int], out: list[Any]
) -> list[int]:
  usual = row_major(e.shapes[x[0]])
  starts = params['start_indices']
  steps = params['strides'] or [1] * len(starts)
  offset = sum(a * b for a, b in zip(starts, usual, strict=True))
  strides = [a * b for a, b in zip(steps, usual, strict=True)]
  return [e.view(x[0], out[0].shape, strides, offset)]


def _split(
  e: Emitter, params: dict[str, Any], x: list[int], out: list[Any]
) -> list[int]:
  usual, axis = row_major(e.shapes[x[0]]), params['axis']
  starts = itertools.accumulate(params['sizes'], initial=0)
  return [
    e.view(x[0], aval.shape, usual, int(start) * usual[axis])
    for aval, start in zip(out, starts, strict=False)
  ]


def _reverse(
  e: Emitter, params: dict[str, Any], x: list[int], out: list[Any]
) -> list[int]:
  shape, strides = out[0].shape, row_major(out[0].shape)
  offset = 0
  for axis in params['dimensions']:
    offset += (shape[axis] - 1) * strides[axis]
    strides[axis] = -strides[axis]
  if x[0] in e.constants:
    return [e.constant(np.flip(e.constants[x[0]], params['dimensions']))]
  return [e.view(x[0], shape, strides, offset)]


def _concatenate(
  e: Emitter, params: dict[str, Any], x: list[int], out: list[Any]
) -> list[int]:
  usual, axis = row_major(out[0].shape), params['dimension']
  shapes = [[*e.shapes[each]] for each in x]
  starts = itertools.accumulate((s[axis] for s in shapes[:-1]), initial=0)
  offsets = [start * usual[axis] for start in starts]
  placed = {'shapes': shapes, 'strides': usual, 'offsets': offsets}
  zero = e.constant(np.float32(0))
  return [e.add('place', [zero, *x], out[0].shape, **placed)]


def _pad(
  e: Emitter, params: dict[str, Any], x: list[int], out: list[Any]
) -> list[int]:
  usual, config = row_major(out[0].shape), params['padding_config']
  if any(min(low, high) < 0 for low, high, _ in config):
    raise UnsupportedError('pad with a negative width')
  offset = sum(each[0] * step for each, step in zip(config, usual, strict=True))
  strides = [
    (each[2] + 1) * step for each, step in zip(config, usual, strict=True)
  ]
  shapes = [[*e.shapes[x[0]]]]
  placed = {'shapes': shapes, 'strides': strides, 'offsets': [offset]}
  return [e.add('place', [x[1], x[0]], out[0].shape, **placed)]


def _power(
  e: Emitter, params: dict[str, Any], x: list[int], out: list[Any]
) -> list[int]:
  exponent = e.constant(np.float32(params['y']))
  return [e.add('pow', [x[0], exponent], out[0].shape)]


def _clamp(
  e: Emitter, params: dict[str, Any], x: list[int], out: list[Any]
) -> list[int]:
  low, value, high = x
  above = e.add('max', [value, low], out[0].shape)
  return [e.add('min', [above, high], out[0].shape)]


def _scan(
  e: Emitter, params: dict[str, Any], x: list[int], out: list[Any]
) -> list[int]:
  """A loop whose body has operations of its own."""
  outer, e.ops = e.ops, []
  inputs, outputs = lower(graph_of(params['jaxpr']), e)
  body = {'inputs': inputs, 'ops': e.ops, 'outputs': outputs}
  e.ops = outer
  found = [e.new(aval.shape) for aval in out]
  sizes = [math.prod(aval.shape) for aval in out]
  counts = {'fixed': params['num_consts'], 'carried': params['num_carry']}
  loop = {'length': params['length'], 'reverse': params['reverse']}
  op = {'op': 'scan', 'in': [*x], 'out': found, 'sizes': sizes, 'body': body}
  e.ops.append({**op, **counts, **loop})
  return found


_RULES: dict[str, Rule] = {
  'add_any': lambda e, _, x, out: [e.add('add', x, out[0].shape)],
  'broadcast_in_dim': _broadcast,
  'clamp': _clamp,
  'concatenate': _concatenate,
  'conv_general_dilated': convolution,
  'convert_element_type': _convert,
  'dot_general': dot,
  'expand_dims': _reshape,
  'integer_pow': _power,
  'pad': _pad,
  'reshape': _reshape,
  'rev': _reverse,
  'scan': _scan,
  'slice': _slice,
  'split': _split,
  'square': lambda e, _, x, out: [e.add('mul', [*x, *x], out[0].shape)],
  'squeeze': _reshape,
  'transpose': lambda e, params, x, out: [
    e.transpose(x[0], params['permutation'])
  ],
}
