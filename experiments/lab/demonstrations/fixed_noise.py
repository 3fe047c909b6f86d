"""Sample average approximation: the objective with noise drawn only once.

J(theta) = 1/N sum_n f(theta + eps_n) with fixed eps_n is a deterministic
function. Its optimum converges to that of E[f(theta + eps)] as N grows.
"""

import functools
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab.demonstrations.comparison import (
  Comparison,
  compare_mean,
  format_rows,
  signed,
)
from vae_jax import plots
from vae_jax.distributions import Normal
from vae_jax.runs.save_figure import save_figure
from vae_jax.types import Array, Key

NUM_SAMPLES = (1, 8, 64, 512)
_NUM_STEPS = 25


class Loss(NamedTuple):
  """Convex function f, and exact properties of min E[f(theta + eps)].

  Attributes:
    f: x -> `[]`.
    optimum: minimiser theta.
    minimum: minimum of the expectation.
    curvature: E[f''] at the minimiser.
    spread: sqrt(Var[f']) / E[f''] at the minimiser.
  """

  f: Callable[[Array], Array]
  optimum: float
  minimum: float
  curvature: float
  spread: float


LOSSES: Mapping[str, Loss] = {
  'x^2': Loss(jnp.square, 0.0, 1.0, 2.0, 1.0),
  'exp(x) - x': Loss(
    lambda x: jnp.exp(x) - x, -0.5, 1.5, 1.0, math.sqrt(math.e - 1)
  ),
}


class Row(NamedTuple):
  """Optima of many objectives J with independent noise.

  The exact values hold for all N if f = x^2, and for large N otherwise.

  Attributes:
    f: formula of the function.
    num_samples: N.
    error: root mean square distance to the true optimum, spread / sqrt(N).
    attained: mean over J of min J, which is below the true minimum by
      curvature spread^2 / (2 N).
  """

  f: str
  num_samples: int
  error: Comparison
  attained: Comparison


def fixed_objective(
  f: Callable[[Array], Array], eps: Array, theta: Array
) -> Array:
  """Returns J(theta) = 1/N sum_n f(theta + eps_n), `[]`, for noise `[N]`."""
  q = Normal(theta, 0.0)
  return jnp.mean(jax.vmap(lambda eps: f(q.transform(eps)))(eps))


def minimise(objective: Callable[[Array], Array], start: Array) -> Array:
  """Minimises a convex function of one variable with Newton's method.

  theta' = theta - J'(theta) / J''(theta), with the step clipped to [-1, 1]:
  where J is nearly flat, a full step would overshoot far.
  """
  slope, curvature = jax.grad(objective), jax.grad(jax.grad(objective))

  def step(_: int, theta: Array) -> Array:
    return theta - jnp.clip(slope(theta) / curvature(theta), -1, 1)

  return jax.lax.fori_loop(0, _NUM_STEPS, step, start)


def optimum_of_fixed_noise(
  f: Callable[[Array], Array], num_samples: int, key: Key
) -> tuple[Array, Array]:
  """Returns the minimiser and the minimum of one J."""
  keys = jax.random.split(key, num_samples)
  eps = jax.vmap(Normal(0.0, 0.0).noise)(keys)
  objective = functools.partial(fixed_objective, f, eps)
  theta = minimise(objective, jnp.zeros(()))
  return theta, objective(theta)


def measure(key: Key, num_draws: int) -> tuple[Row, ...]:
  """Measures the error of the optimum of J against the number of noise draws N.

  Args:
    key: consumed.
    num_draws: 100 times the number of J per row, which is at least 100.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, section 2.3, where
    noise is redrawn at each step; van der Vaart 1998, Asymptotic Statistics,
    theorem 5.23 (asymptotic normality).
  """
  num_runs = max(100, num_draws // 100)
  rows = []
  for loss_key, (name, loss) in zip(
    jax.random.split(key, len(LOSSES)), LOSSES.items(), strict=True
  ):
    n_keys = jax.random.split(loss_key, len(NUM_SAMPLES))
    for n_key, n in zip(n_keys, NUM_SAMPLES, strict=True):
      solve = functools.partial(optimum_of_fixed_noise, loss.f, n)
      keys = jax.random.split(n_key, num_runs)
      many = jax.jit(functools.partial(jax.lax.map, solve, batch_size=1000))
      theta, attained = many(keys)
      rows.append(_row(name, loss, n, np.asarray(theta), np.asarray(attained)))
  return tuple(rows)


def _row(
  name: str, loss: Loss, n: int, theta: np.ndarray, attained: np.ndarray
) -> Row:
  square = compare_mean((theta - loss.optimum) ** 2, loss.spread**2 / n)
  error = math.sqrt(square.measured)
  return Row(
    name,
    n,
    # d sqrt(s) = ds / (2 sqrt(s)).
    Comparison(
      loss.spread / math.sqrt(n), error, square.standard_error / (2 * error)
    ),
    compare_mean(
      attained, loss.minimum - loss.curvature * loss.spread**2 / (2 * n)
    ),
  )


def table(rows: Sequence[Row]) -> str:
  """Formats the errors of the optimum and the attained minima."""
  cells: list[list[str | int]] = []
  for row in rows:
    numbers: list[str | int] = [row.f, row.num_samples]
    for number in (row.error, row.attained):
      numbers += [f'{x:.4f}' for x in (number.measured, number.exact)]
      # Otherwise the limit differs by more than the noise for small N.
      numbers.append(signed(number.z) if row.f == 'x^2' else '')
    cells.append(numbers)
  minima = ', '.join(f'{x.minimum:g} for {name}' for name, x in LOSSES.items())
  return format_rows(
    'Objective with N fixed noise draws: rms error of its optimum, and mean '
    f'attained\nminimum (true minimum: {minima}).\n'
    '"expected" is exact for x^2, and holds for large N otherwise.',
    ('f', 'N', 'rms error', 'expected', 'z', 'minimum', 'expected', 'z'),
    cells,
  )


def draw(path: pathlib.Path, rows: Sequence[Row]) -> pathlib.Path:
  """Plots the error of the optimum against N on logarithmic axes."""
  lines: dict[str, plots.Line] = {}
  points: dict[str, plots.Line] = {}
  for name in LOSSES:
    own = [row for row in rows if row.f == name]
    lines[name] = (NUM_SAMPLES, [row.error.exact for row in own])
    points[name] = (NUM_SAMPLES, [row.error.measured for row in own])
  figure = plots.curves(
    'Optimum with N fixed noise draws: expected (lines), measured (dots)',
    ('N, number of fixed noise draws', 'rms error of the optimum'),
    lines,
    points=points,
    scales=('log', 'log'),
  )
  return save_figure(path, figure)
