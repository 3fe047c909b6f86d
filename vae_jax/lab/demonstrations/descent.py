"""Gradient descent on E_{x ~ N(theta, 1)}[x^2], one draw a step."""

import functools
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import plots
from vae_jax.lab.demonstrations.comparison import (
  Comparison,
  compare_mean,
  format_rows,
  signed,
)
from vae_jax.lab.demonstrations.quadratic import ESTIMATORS, Estimator
from vae_jax.types import Array, Key

START, LEARNING_RATE, NUM_STEPS = 5.0, 0.02, 300
NAMES = ('pathwise', 'score function')
_SHOWN = (0, 5, 10, 20, 50, 100, 200, 300)
_MEAN_AT = 20


class Row(NamedTuple):
  """Many descents with one estimator.

  Attributes:
    estimator: its name.
    trajectory: theta after 0, 1, ... steps of the first run.
    mean: theta after 20 steps, over the runs.
    spread: root mean square of theta at the end, over the runs; the optimum
      is 0.
    mean_square: theta^2 at the end; exact for the pathwise estimator only.
  """

  estimator: str
  trajectory: tuple[float, ...]
  mean: Comparison
  spread: float
  mean_square: Comparison | None


def descend(estimator: Estimator, keys: Key) -> Array:
  """Returns theta of every run after 0, 1, ... steps, `[steps + 1, runs]`.

  theta' = theta - a g, g one draw of the gradient, a the learning rate.

  Args:
    estimator: of the gradient.
    keys: `[steps, runs]`, consumed.
  """
  gradient = jax.vmap(jax.grad(estimator.estimate, 1))

  def step(thetas: Array, keys: Key) -> tuple[Array, Array]:
    thetas = thetas - LEARNING_RATE * gradient(keys, thetas)
    return thetas, thetas

  start = jnp.full(keys.shape[1], START)
  _, thetas = jax.lax.scan(step, start, keys)
  return jnp.concatenate([start[None], thetas])


def exact_mean(step: int) -> float:
  """Returns E[theta] after the step, of any unbiased estimator."""
  return START * (1 - 2 * LEARNING_RATE) ** step


def exact_mean_square(step: int) -> float:
  """Returns E[theta^2] after the step of the pathwise estimator.

  Var[theta'] = (1 - 2 a)^2 Var[theta] + 4 a^2, as g = 2 (theta + eps).
  """
  shrink = (1 - 2 * LEARNING_RATE) ** 2
  variance = 4 * LEARNING_RATE**2 * (1 - shrink**step) / (1 - shrink)
  return exact_mean(step) ** 2 + variance


def measure(key: Key, num_draws: int) -> tuple[Row, ...]:
  """Runs many descents with both estimators, on the same keys.

  Args:
    key: consumed.
    num_draws: a hundredth of it is the number of runs, at least 100.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, section 2.2.
  """
  keys = jax.random.split(key, (NUM_STEPS, max(100, num_draws // 100)))
  rows = []
  for name in NAMES:
    runs = jax.jit(functools.partial(descend, ESTIMATORS[name]))
    # A clone: both estimators are meant to see the same draws.
    thetas = np.asarray(runs(jax.random.clone(keys)), np.float64)
    square = compare_mean(thetas[-1] ** 2, exact_mean_square(NUM_STEPS))
    rows.append(
      Row(
        name,
        tuple(thetas[:, 0].tolist()),
        compare_mean(thetas[_MEAN_AT], exact_mean(_MEAN_AT)),
        float(np.sqrt(square.measured)),
        square if name == 'pathwise' else None,
      )
    )
  return tuple(rows)


def table(rows: Sequence[Row]) -> str:
  """Returns one trajectory of each estimator, then what many runs say."""
  first = format_rows(
    'Descent on E[x^2], x ~ N(theta, 1), one draw a step: theta of one run',
    ('after step', *map(str, _SHOWN)),
    [
      (row.estimator, *(f'{row.trajectory[i]:.3f}' for i in _SHOWN))
      for row in rows
    ],
  )
  cells = []
  for row in rows:
    exact, measured, error = row.mean
    end = np.sqrt(row.mean_square.exact) if row.mean_square else None
    cells.append(
      (
        row.estimator,
        exact,
        measured,
        error,
        signed(row.mean.z),
        row.spread,
        'none known' if end is None else float(end),
      )
    )
  names = ('', f'mean at {_MEAN_AT}', 'measured', '+-', 'z')
  second = format_rows(
    'The mean of many runs is the same; the scatter about the optimum is not',
    (*names, f'rms at {NUM_STEPS}', 'exact'),
    cells,
  )
  return f'{first}\n{second}'


def draw(path: pathlib.Path, rows: Sequence[Row]) -> pathlib.Path:
  """Draws one trajectory of each estimator and the mean of both."""
  steps = range(NUM_STEPS + 1)
  lines: dict[str, plots.Line] = {
    row.estimator: (steps, row.trajectory) for row in reversed(rows)
  }
  lines['exact mean of both'] = (steps, [exact_mean(step) for step in steps])
  return plots.curves(
    path,
    'Descent on E[x^2], x ~ N(theta, 1), one draw a step',
    ('step', 'theta'),
    lines,
  )
