"""A function of arrays as a JSON program with its weights."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from vae_jax.models.quick_jit import quick_jit
from vae_jax.runs.report.decoder.emitter import Emitter, UnsupportedError
from vae_jax.runs.report.decoder.graph import Graph, evaluate, trace
from vae_jax.runs.report.decoder.lowering import lower

# Bytes of a program in the page, at most.
MAX_BYTES = 3_000_000
# Largest error of an output, such as a logit, by weights in half precision.
_TOLERANCE = 5e-3


class Program(NamedTuple):
  """A function that `program.js` computes.

  Attributes:
    ops: operations, inputs, outputs and constants, as JSON represents them.
    weights: constants that are not uniform, one after the other, `[W]`.
    graph: equations from which the operations are made.
  """

  ops: dict[str, Any]
  weights: np.ndarray
  graph: Graph

  def text(self, dtype: str = 'float32') -> str:
    """Returns the program as JSON, with weights of this precision."""
    with np.errstate(over='ignore'):
      stored = self.weights.astype(np.dtype(dtype).newbyteorder('<'))
    encoded = base64.b64encode(stored.tobytes()).decode()
    content = {**self.ops, 'dtype': dtype, 'weights': encoded}
    return json.dumps(content, separators=(',', ':'), allow_nan=False)

  def size(self, dtype: str = 'float32') -> int:
    """Returns the number of bytes of the text."""
    fixed = len(self._replace(weights=self.weights[:0]).text(dtype))
    return fixed + -(-self.weights.size * np.dtype(dtype).itemsize // 3) * 4


def make_program(
  function: Callable[..., dict[str, Any]], bound: Any, *inputs: Any
) -> Program:
  """Traces `function(bound, *inputs)` and lowers it.

  Args:
    function: a pure function that returns a dict of arrays.
    bound: pytree of arrays that become constants.
    *inputs: arrays, or their shapes and dtypes.

  Raises:
    UnsupportedError: the function has an operation that the page lacks, or a
      weight that is not finite.
  """
  graph, names = trace(function, bound, *inputs)
  emitter = Emitter()
  given, found = lower(graph, emitter)
  used = {*found, *_used(emitter.ops)}
  constants, parts, start = [], [], 0
  for number, value in emitter.constants.items():
    if number not in used:
      continue
    flat = np.asarray(value, np.float64).reshape(-1)
    content = _uniform(flat)
    if content is None:
      content, start = [start], start + flat.size
      parts.append(flat)
    constants.append([number, flat.size, content])
  weights = np.concatenate([np.zeros(0), *parts])
  if not np.isfinite(weights).all():
    raise UnsupportedError('a weight that is not finite')
  ops = {
    'constants': constants,
    'inputs': given,
    'ops': emitter.ops,
    'outputs': dict(zip(names, found, strict=True)),
  }
  return Program(ops, weights, graph)


def _used(ops: Sequence[dict[str, Any]]) -> set[int]:
  """Returns the values that operations take, also within loops."""
  used = {number for op in ops for number in op['in']}
  for op in ops:
    if 'body' in op:
      used |= {*op['body']['outputs']} | _used(op['body']['ops'])
  return used


def _uniform(flat: np.ndarray) -> Any:
  """Returns the number that all elements equal, as JSON; None if several."""
  if not flat.size:
    return 0
  first = flat[0]
  if not np.array_equal(flat, np.full_like(flat, first), equal_nan=True):
    return None
  return float(first) if np.isfinite(first) else str(first)


def fit_text(
  program: Program, points: Sequence[np.ndarray], most: int = MAX_BYTES
) -> str:
  """Returns the program as JSON, in half precision only where it must be.

  Args:
    program: the program.
    points: values of the inputs at which the error of half precision is
      measured, `[N, ...]` each.
    most: bytes, at most.

  Raises:
    UnsupportedError: it is too large, or not accurate in half precision.
  """
  if program.size() <= most:
    return program.text()
  size = program.size('float16')
  if size > most:
    raise UnsupportedError(
      f'its {program.weights.size} numbers take {size / 1e6:.1f} MB, above '
      f'{most / 1e6:.1f} MB'
    )
  error = _error_of_half(program.graph, points)
  if not error < _TOLERANCE:
    raise UnsupportedError(
      f'its {program.weights.size} numbers fit into {most / 1e6:.1f} MB in '
      f'half precision only, with an error of {error:.2g}'
    )
  return program.text('float16')


def _error_of_half(graph: Graph, points: Sequence[np.ndarray]) -> float:
  """Returns the largest error of an output at some points."""
  many = quick_jit(
    jax.vmap(
      lambda constants, *inputs: evaluate(graph, constants, *inputs),
      (None, *(0 for _ in points)),
    )
  )
  half = lambda x: x.astype(np.float16).astype(x.dtype)
  with np.errstate(over='ignore'):
    rounded = {
      i: half(x) if x.size > 1 else x for i, x in graph.constants.items()
    }
  both = [
    jax.device_get(
      many(jax.device_put(constants), *map(jax.device_put, points))
    )
    for constants in (graph.constants, rounded)
  ]
  errors = jax.tree.map(lambda a, b: np.max(np.abs(a - b)), *both)
  return float(max(jax.tree.leaves(errors)))
