"""Accuracy of float32 log-densities, entropies, divergences and moments.

Each value f and its first derivatives in the parameters are compared with 60
digits at the same float32 numbers x_j. The error is relative to
|f| + sum_j |x_j df/dx_j|: rounding the inputs changes f by 6e-8 of that. For a
divergence x_j is the difference between the parameters of p and q, so that
nearly equal distributions need correct digits too. A derivative may also be
off relative to that sum, or 1, per unit of its parameter: it may vanish.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab.exact import EXACT, m
from experiments.lab.grids import GRIDS, Grid
from vae_jax.distributions import kl
from vae_jax.types import Array

QUANTITIES = ('log_prob', 'entropy', 'kl near', 'kl far', 'mean', 'variance')
_MAX = m.mpf(float(np.finfo(np.float32).max))
# Numbers below the smallest normal one are 0 on some devices.
_FLOOR = m.mpf(10) ** -30
_STEP = m.mpf(10) ** -10


class Accuracy(NamedTuple):
  """Largest errors of a quantity of a family over its grid.

  Attributes:
    suite: 'accuracy'.
    setting: name of the family.
    quantity: one of `QUANTITIES`.
    error: largest relative error of the value; None if it is not finite.
    slope_error: largest relative error of the derivatives in the parameters.
    at: the inputs of `error`.
    slope_at: the inputs of `slope_error`.
  """

  suite: str
  setting: str
  quantity: str
  error: float | None
  slope_error: float | None
  at: list[float]
  slope_at: list[float]


def compare(names: Sequence[str] = (), every: int = 1) -> list[Accuracy]:
  """Returns the accuracy of families at each `every`-th point of their grids.

  Args:
    names: families; all by default.
    every: 1 for the whole grid.
  """
  return [record for name in names or GRIDS for record in _family(name, every)]


def table(records: Sequence[Accuracy]) -> str:
  """Returns one line per family: error of each value / of its derivatives."""
  found = {(r.setting, r.quantity): r for r in records}
  lines = [f'  {"":<20}' + ''.join(f'{q:>16}' for q in QUANTITIES)]
  for name in dict.fromkeys(r.setting for r in records):
    cells = (
      f'{_number(r.error)}/{_number(r.slope_error)}' if r else ''
      for r in (found.get((name, q)) for q in QUANTITIES)
    )
    lines.append(f'  {name:<20}' + ''.join(f'{c:>16}' for c in cells))
  return '\n'.join(lines)


def _number(error: float | None) -> str:
  return 'fails' if error is None else f'{error:.0e}'


def _family(name: str, every: int) -> list[Accuracy]:
  grid, exact = GRIDS[name], EXACT[name]
  inputs = _inputs(grid, every)
  functions = {
    q: f for q, f in _functions(grid).items() if q.split()[0] in exact
  }
  found = _evaluate(functions, {q: _stack(inputs[q]) for q in functions})
  return [
    _worst(name, q, exact[q.split()[0]], inputs[q], *found[q])
    for q in functions
  ]


def _inputs(grid: Grid, every: int) -> dict[str, list[tuple[Any, Any]]]:
  """Returns pairs of parameters and event, or of two points, by quantity."""
  points = list(grid.points)
  far = [(q, p) for q, p in zip(points, points[1:] + points[:1], strict=True)]
  far += [(q, p) for q, p in zip(points, points[::-1], strict=True)]
  alone = [(x, ()) for x in points]
  pairs = {
    'log_prob': [(x, z) for x in points for z in grid.events(*x)],
    **dict.fromkeys(('entropy', 'mean', 'variance'), alone),
    'kl near': [(x, grid.near(x)) for x in points],
    'kl far': [(q, p) for q, p in far if q != p and grid.covers(q, p)],
  }
  return {k: x[:: every if len(x) > 2 * every else 1] for k, x in pairs.items()}


def _stack(pairs: list[tuple[Any, Any]]) -> tuple[np.ndarray, np.ndarray]:
  first, second = zip(*pairs, strict=True)
  return np.asarray(first, np.float32), np.asarray(second, np.float32)


def _functions(grid: Grid) -> dict[str, Callable[[Array, Array], Array]]:
  """Returns each quantity as a function of parameters and the second input."""
  make = grid.make
  divergence = lambda x, y: kl(make(*x), make(*y))
  # The last coordinate, where the event has several.
  moment = lambda name: lambda x, y: jnp.ravel(getattr(make(*x), name)())[-1]
  return {
    'log_prob': lambda x, z: make(*x).log_prob(z),
    'entropy': lambda x, y: make(*x).entropy(),
    'kl near': divergence,
    'kl far': divergence,
    'mean': moment('mean'),
    'variance': moment('variance'),
  }


def _evaluate(functions: Any, inputs: Any) -> Any:
  """Returns values and derivatives by quantity, in one compiled program."""

  @jax.jit
  def program(inputs: Any) -> Any:
    found = {}
    for name, f in functions.items():
      argnums = (0, 1) if 'kl' in name else 0
      found[name] = jax.vmap(jax.value_and_grad(f, argnums))(*inputs[name])
    return found

  return jax.tree.map(np.asarray, program(inputs))


def _worst(
  name: str,
  quantity: str,
  exact: Callable[..., Any],
  pairs: list[tuple[Any, Any]],
  values: np.ndarray,
  slopes: Any,
) -> Accuracy:
  grid, is_kl = GRIDS[name], 'kl' in quantity
  slopes = np.concatenate(slopes, axis=-1) if is_kl else slopes
  worst: list[tuple[Any, list[float]]] = [(m.mpf(0), []), (m.mpf(0), [])]
  for (x, y), value, slope in zip(pairs, values, slopes, strict=True):
    flat = [*x, *np.atleast_1d(np.asarray(y, float)).tolist()]
    weights = 2 * [b - a for a, b in zip(x, y, strict=True)] if is_kl else flat
    function = exact
    if quantity == 'log_prob':
      function = functools.partial(_of_event, exact, len(x), np.ndim(y) > 0)
      if name in ('Bernoulli', 'Categorical', 'DiscretisedLogistic'):
        weights = [*x, 0.0]
    units = _units(grid, x)
    if is_kl:
      units = 2 * list(map(max, units, _units(grid, y)))
    point = _Point(flat, weights, units)
    errors = _errors(function, point, value, slope)
    worst = [
      max(old, (error, flat), key=lambda pair: pair[0])
      for old, error in zip(worst, errors, strict=True)
    ]
  (error, at), (slope_error, slope_at) = worst
  finite = lambda e: float(e) if m.isfinite(e) else None
  return Accuracy(
    'accuracy', name, quantity, finite(error), finite(slope_error), at, slope_at
  )


def _units(grid: Grid, x: Sequence[float]) -> list[float]:
  return np.abs(np.broadcast_to(grid.unit(*x), len(x))).tolist()


def _of_event(exact: Callable[..., Any], n: int, several: bool, *x: Any) -> Any:
  return exact(x[n:] if several else x[n], *x[:n])


class _Point(NamedTuple):
  """Inputs of a function; `weights` are the x_j of the relative error.

  `units` belong to the parameters; an event is an input, but not a parameter.
  """

  inputs: list[float]
  weights: list[float]
  units: list[float]


def _errors(
  f: Callable[..., Any], point: _Point, value: Any, slope: Any
) -> tuple[Any, Any]:
  """Returns the relative errors of f and of its derivatives."""
  x, weights = [m.mpf(v) for v in point.inputs], point.weights
  smallest = min([1, *(abs(v) for v in x if v)])
  steps = [_STEP * (abs(v) or smallest) for v in x]
  used = [j for j, w in enumerate(weights) if w]

  @functools.cache
  def at(*moves: tuple[int, int]) -> Any:
    moved = list(x)
    for j, sign in moves:
      moved[j] += sign * steps[j]
    return m.mpf(f(*moved))

  first = lambda i: (at((i, 1)) - at((i, -1))) / (2 * steps[i])
  truth = at()
  if not m.isfinite(truth):
    return (m.mpf(0) if value == truth else m.inf), m.mpf(0)
  scale = abs(truth) + m.fsum(abs(weights[j] * first(j)) for j in used)
  if abs(truth) > _MAX:
    return _error(value, truth, scale), m.mpf(0)
  slope_errors = []
  for i, unit in enumerate(point.units):
    exact = first(i)
    bound = abs(exact) + min(scale, 1) / (unit or m.inf)
    for j in used:
      bound += abs(weights[j] * _second(at, i, j, steps))
    slope_errors.append(_error(slope[i], exact, bound))
  return _error(value, truth, scale), max(slope_errors)


def _second(at: Any, i: int, j: int, steps: Sequence[Any]) -> Any:
  if i == j:
    return (at((i, 1)) + at((i, -1)) - 2 * at()) / steps[i] ** 2
  i, j = sorted((i, j))
  corners = m.fsum(a * b * at((i, a), (j, b)) for a in (1, -1) for b in (1, -1))
  return corners / (4 * steps[i] * steps[j])


def _error(found: Any, exact: Any, scale: Any) -> Any:
  if np.isnan(found):
    return m.inf
  # Infinity stands for all numbers beyond float32.
  bounded = lambda x: min(max(x, -_MAX), _MAX)
  return abs(bounded(m.mpf(float(found))) - bounded(exact)) / (scale + _FLOOR)
