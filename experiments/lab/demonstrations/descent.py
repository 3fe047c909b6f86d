"""Stochastic gradient descent on E_{x ~ N(theta, 1)}[x^2]."""

import functools
import pathlib
from collections.abc import Sequence
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
from experiments.lab.demonstrations.quadratic import ESTIMATORS, Estimator
from vae_jax import plots
from vae_jax.runs.save_figure import save_figure
from vae_jax.types import Array, Key

START, LEARNING_RATE, NUM_STEPS = 5.0, 0.02, 300
NAMES = ('pathwise', 'score function')
_SHOWN = (0, 5, 10, 20, 50, 100, 200, 300)
_MEAN_AT = 20


class Row(NamedTuple):
  """Results of many runs with one estimator.

  Attributes:
    estimator: name of the estimator.
    trajectory: theta after 0, 1, ... steps of the first run.
    mean: mean of theta over runs after 20 steps.
    spread: root mean square of theta over runs after the last step. The
      optimum is 0.
    mean_square: mean of theta^2 over runs after the last step. None where no
      exact value is known.
  """

  estimator: str
  trajectory: tuple[float, ...]
  mean: Comparison
  spread: float
  mean_square: Comparison | None


def descend(estimator: Estimator, keys: Key) -> Array:
  """Returns theta of every run after 0, 1, ... steps, `[steps + 1, runs]`.

  theta' = theta - a g, with learning rate a and one gradient draw g.

  Args:
    estimator: gradient estimator.
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
  """Returns E[theta] after the step, for any unbiased estimator."""
  return START * (1 - 2 * LEARNING_RATE) ** step


def exact_mean_square(step: int) -> float:
  """Returns E[theta^2] after the step, for the pathwise estimator.

  Var[theta'] = (1 - 2 a)^2 Var[theta] + 4 a^2, as g = 2 (theta + eps).
  """
  shrink = (1 - 2 * LEARNING_RATE) ** 2
  variance = 4 * LEARNING_RATE**2 * (1 - shrink**step) / (1 - shrink)
  return exact_mean(step) ** 2 + variance


def measure(key: Key, num_draws: int) -> tuple[Row, ...]:
  """Runs gradient descent many times with both estimators and equal keys.

  Args:
    key: consumed.
    num_draws: 100 times the number of runs, which is at least 100.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, section 2.2.
  """
  keys = jax.random.split(key, (NUM_STEPS, max(100, num_draws // 100)))
  rows = []
  for name in NAMES:
    runs = jax.jit(functools.partial(descend, ESTIMATORS[name]))
    # Cloned key: common random numbers for both estimators.
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
  """Formats one trajectory per estimator, and statistics over runs."""
  first = format_rows(
    'Gradient descent on E[x^2], x ~ N(theta, 1), one draw per step: one run',
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
        'unknown' if end is None else float(end),
      )
    )
  names = ('', f'mean at {_MEAN_AT}', 'measured', '+-', 'z')
  second = format_rows(
    'Over many runs: equal means, different scatter about the optimum',
    (*names, f'rms at {NUM_STEPS}', 'exact'),
    cells,
  )
  return f'{first}\n{second}'


def draw(path: pathlib.Path, rows: Sequence[Row]) -> pathlib.Path:
  """Plots one trajectory per estimator, and the exact mean."""
  steps = range(NUM_STEPS + 1)
  lines: dict[str, plots.Line] = {
    row.estimator: (steps, row.trajectory) for row in reversed(rows)
  }
  lines['exact mean of both'] = (steps, [exact_mean(step) for step in steps])
  figure = plots.curves(
    'Gradient descent on E[x^2], x ~ N(theta, 1), one draw per step',
    ('step', 'theta'),
    lines,
  )
  return save_figure(path, figure)
