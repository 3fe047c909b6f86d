"""Flat equations of a function: calls inlined, constants folded."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import Literal

# Primitives that call a jaxpr, which is inlined.
_CALLS = {
  *('jit', 'pjit', 'closed_call', 'core_call', 'checkpoint', 'remat2'),
  *('custom_jvp_call', 'custom_vjp_call', 'custom_vjp_call_jaxpr'),
}


class Equation(NamedTuple):
  """An equation of a graph.

  Attributes:
    primitive: primitive of jax.
    params: parameters of the primitive.
    inputs: values by number.
    outputs: values by number.
  """

  primitive: Any
  params: dict[str, Any]
  inputs: list[int]
  outputs: list[int]


class Graph(NamedTuple):
  """A function as flat equations over numbered values.

  Attributes:
    avals: shape and dtype of each value, by number.
    constants: constant values by number, each used by an equation or output.
    equations: equations in order, of which each is needed.
    inputs: arguments by number.
    outputs: results by number.
  """

  avals: list[Any]
  constants: dict[int, np.ndarray]
  equations: list[Equation]
  inputs: list[int]
  outputs: list[int]


class _Known:
  """A value without unknown inputs, computed when it is first needed."""

  def __init__(self, compute: Callable[[], Any]):
    self._compute = compute

  @functools.cached_property
  def value(self) -> Any:
    return self._compute()


_Value = int | _Known


class _Builder:
  """Collects equations; a value is a number, or known."""

  def __init__(self) -> None:
    self.avals: list[Any] = []
    self.equations: list[tuple[Any, list[_Value], list[int]]] = []

  def new(self, aval: Any) -> int:
    self.avals.append(aval)
    return len(self.avals) - 1

  def inline(
    self, jaxpr: Any, consts: Sequence[_Value], inputs: Sequence[_Value]
  ) -> list[_Value]:
    """Adds the equations of a jaxpr; returns its outputs."""
    values = dict(zip(jaxpr.constvars, consts, strict=True))
    values |= dict(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> _Value:
      if isinstance(atom, Literal):
        return _Known(lambda: atom.val)
      return values[atom]

    for equation in jaxpr.eqns:
      found = self._add(equation, [read(atom) for atom in equation.invars])
      values |= dict(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]

  def _add(self, equation: Any, inputs: list[_Value]) -> list[_Value]:
    if equation.primitive.name in _CALLS:
      params = equation.params
      names = ('jaxpr', 'call_jaxpr', 'fun_jaxpr')
      called = next(params[name] for name in names if name in params)
      return self.inline(
        getattr(called, 'jaxpr', called), _consts(called), inputs
      )
    known = [value for value in inputs if isinstance(value, _Known)]
    if len(known) == len(inputs):
      every = _Known(lambda: _bind(equation, [each.value for each in known]))
      item = lambda i: _Known(lambda: every.value[i])
      return [item(i) for i in range(len(equation.outvars))]
    outputs = [self.new(each.aval) for each in equation.outvars]
    self.equations.append((equation, inputs, outputs))
    return [*outputs]

  def finish(self, inputs: list[int], results: Sequence[_Value]) -> Graph:
    """Keeps what the results need, and computes the constants of that."""
    needed = {value for value in results if not isinstance(value, _Known)}
    kept = []
    for equation, own, outputs in reversed(self.equations):
      if needed.intersection(outputs):
        needed |= {value for value in own if not isinstance(value, _Known)}
        kept.append((equation, own, outputs))
    constants: dict[int, np.ndarray] = {}
    numbers: dict[_Known, int] = {}

    def number(value: _Value) -> int:
      if not isinstance(value, _Known):
        return value
      if value not in numbers:
        constant = np.asarray(value.value)
        numbers[value] = self.new(jax.typeof(constant))
        constants[numbers[value]] = constant
      return numbers[value]

    equations = [
      Equation(e.primitive, e.params, [number(each) for each in own], outputs)
      for e, own, outputs in reversed(kept)
    ]
    outputs = [number(value) for value in results]
    return Graph(self.avals, constants, equations, inputs, outputs)


def _constant(value: Any) -> _Known:
  return _Known(lambda: value)


def _consts(called: Any) -> list[_Value]:
  return [_constant(each) for each in getattr(called, 'consts', ())]


def _bind(equation: Any, values: Sequence[Any]) -> Sequence[Any]:
  """Computes an equation, of a jaxpr or of a graph."""
  found = equation.primitive.bind(*values, **equation.params)
  return found if equation.primitive.multiple_results else [found]


def trace(
  function: Callable[..., dict[str, Any]], bound: Any, *inputs: Any
) -> tuple[Graph, list[str]]:
  """Traces `function(bound, *inputs)`, a dict of arrays.

  Equations of `bound` alone are computed here, if a result needs them. Results
  that do not depend on the inputs are left out.

  Args:
    function: a pure function.
    bound: pytree of arrays, such as parameters, that become constants.
    *inputs: arrays, or their shapes and dtypes.

  Returns:
    (graph, names): the equations, and the names of their outputs.
  """
  closed, shapes = jax.make_jaxpr(function, return_shape=True)(bound, *inputs)
  builder, leaves = _Builder(), jax.tree.leaves(bound)
  known = [_constant(leaf) for leaf in leaves]
  unknown = [builder.new(each) for each in closed.in_avals[len(leaves) :]]
  found = builder.inline(closed.jaxpr, _consts(closed), [*known, *unknown])
  # The leaves of a dict are sorted by name.
  pairs = zip(sorted(shapes), found, strict=True)
  varying = {name: x for name, x in pairs if not isinstance(x, _Known)}
  return builder.finish(unknown, [*varying.values()]), [*varying]


def graph_of(closed: Any) -> Graph:
  """Returns the graph of a closed jaxpr, such as the body of a scan."""
  builder = _Builder()
  inputs = [builder.new(each) for each in closed.in_avals]
  found = builder.inline(closed.jaxpr, _consts(closed), inputs)
  return builder.finish(inputs, found)


def evaluate(
  graph: Graph, constants: dict[int, Any], *inputs: Any
) -> list[Any]:
  """Computes the outputs of a graph by jax, with these constants."""
  values = {**constants, **dict(zip(graph.inputs, inputs, strict=True))}
  for equation in graph.equations:
    found = _bind(equation, [values[i] for i in equation.inputs])
    values |= dict(zip(equation.outputs, found, strict=True))
  return [values[i] for i in graph.outputs]
