"""The objective with its noise drawn once, and how far its optimum is off.

J(theta) = 1/N sum_n f(theta + eps_n), the eps_n kept for the whole run, is an
ordinary function, whose optimum is that of E[f(theta + eps)] only as N grows.
"""

import functools
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import plots
from vae_jax.distributions import Normal
from vae_jax.lab.demonstrations.comparison import (
  Comparison,
  compare_mean,
  format_rows,
  signed,
)
from vae_jax.types import Array, Key

NUM_SAMPLES = (1, 8, 64, 512)
_NUM_STEPS = 25


class Loss(NamedTuple):
  """A convex f, and what is known of its optimum.

  Attributes:
    f: x -> `[]`.
    optimum: the theta that minimises E[f(theta + eps)].
    minimum: the value there.
    curvature: E[f''] there.
    spread: sqrt(Var[f']) / E[f''] there.
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
  """The optima of many J, each with N draws of its own.

  What is called exact is so for x^2; for another f it is a limit, of N large.

  Attributes:
    f: its name.
    num_samples: N.
    error: root mean square distance to the true optimum, spread / sqrt(N).
    claimed: mean of J at its own optimum, which is below the true minimum by
      curvature spread^2 / (2 N).
  """

  f: str
  num_samples: int
  error: Comparison
  claimed: Comparison


def fixed_objective(
  f: Callable[[Array], Array], eps: Array, theta: Array
) -> Array:
  """Returns J(theta) = 1/N sum_n f(theta + eps_n), `[]`, of `[N]` noise."""
  q = Normal(theta, 0.0)
  return jnp.mean(jax.vmap(lambda eps: f(q.transform(eps)))(eps))


def minimise(objective: Callable[[Array], Array], start: Array) -> Array:
  """Returns the minimum of a convex function of one number, by Newton steps.

  theta' = theta - J'(theta) / J''(theta), each step at most 1 long: where J
  is nearly flat a full step would be thrown far off.
  """
  slope, curvature = jax.grad(objective), jax.grad(jax.grad(objective))

  def step(_: int, theta: Array) -> Array:
    return theta - jnp.clip(slope(theta) / curvature(theta), -1, 1)

  return jax.lax.fori_loop(0, _NUM_STEPS, step, start)


def optimum_of_fixed_noise(
  f: Callable[[Array], Array], num_samples: int, key: Key
) -> tuple[Array, Array]:
  """Returns the optimum of one J and J there."""
  keys = jax.random.split(key, num_samples)
  eps = jax.vmap(Normal(0.0, 0.0).noise)(keys)
  objective = functools.partial(fixed_objective, f, eps)
  theta = minimise(objective, jnp.zeros(()))
  return theta, objective(theta)


def measure(key: Key, num_draws: int) -> tuple[Row, ...]:
  """Measures the error of the optimum of J against the number of its draws.

  Args:
    key: consumed.
    num_draws: a hundredth of it is the number of J for each row, at least 100.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, section 2.3, whose
    noise is drawn anew at each step; van der Vaart 1998, Asymptotic Statistics,
    theorem 5.23, for the limit.
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
      theta, claimed = many(keys)
      rows.append(_row(name, loss, n, np.asarray(theta), np.asarray(claimed)))
  return tuple(rows)


def _row(
  name: str, loss: Loss, n: int, theta: np.ndarray, claimed: np.ndarray
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
      claimed, loss.minimum - loss.curvature * loss.spread**2 / (2 * n)
    ),
  )


def table(rows: Sequence[Row]) -> str:
  """Returns the errors of the optimum, and what J claims there."""
  cells: list[list[str | int]] = []
  for row in rows:
    numbers: list[str | int] = [row.f, row.num_samples]
    for number in (row.error, row.claimed):
      numbers += [f'{x:.4f}' for x in (number.measured, number.exact)]
      # Elsewhere what is expected is a limit, off by more than the noise.
      numbers.append(signed(number.z) if row.f == 'x^2' else '')
    cells.append(numbers)
  minima = ', '.join(f'{x.minimum:g} for {name}' for name, x in LOSSES.items())
  return format_rows(
    'N draws kept for the whole run: rms distance of the optimum from the true '
    'one,\nand the minimum that they claim, truly '
    f'{minima}.\n"expected" is exact for x^2, and holds for large N otherwise.',
    ('f', 'N', 'distance', 'expected', 'z', 'claimed', 'expected', 'z'),
    cells,
  )


def draw(path: pathlib.Path, rows: Sequence[Row]) -> pathlib.Path:
  """Draws the error of the optimum over N, both logarithmic."""
  lines: dict[str, plots.Line] = {}
  points: dict[str, plots.Line] = {}
  for name in LOSSES:
    own = [row for row in rows if row.f == name]
    lines[name] = (NUM_SAMPLES, [row.error.exact for row in own])
    points[name] = (NUM_SAMPLES, [row.error.measured for row in own])
  return plots.curves(
    path,
    'Optimum of N kept draws: expected (lines) and measured (dots)',
    ('N, draws kept for the whole run', 'rms distance from the true optimum'),
    lines,
    points=points,
    scales=('log', 'log'),
  )
