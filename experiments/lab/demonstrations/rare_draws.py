"""Skewed gradient estimates: rare draws dominate the mean, the median is low.

x ~ N(theta, 1). For f = x^2 one score-function estimate (theta + e)^2 e has the
sign of e. Therefore the median is 0 for every theta, while the mean is 2 theta.
For f = exp(x^2/8) the draws that dominate the mean lie about theta / 3 standard
deviations from the centre, and small samples rarely contain them.
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
)
from vae_jax import plots
from vae_jax.distributions import Normal
from vae_jax.estimators import pathwise, sample_gradients, score_function
from vae_jax.runs.save_figure import save_figure
from vae_jax.types import Array, Key

THETAS = (1.0, 3.0, 6.0, 9.0)
NUM_SAMPLES = 10

Function = Callable[[Array], Array]
Estimate = Callable[[Key, Normal, Function], Array]


def _exact_steep(theta: float) -> float:
  """Returns the gradient of E[exp(x^2/8)] = sqrt(4/3) exp(theta^2 / 6)."""
  return theta / 3 * math.sqrt(4 / 3) * math.exp(theta**2 / 6)


FUNCTIONS: Mapping[str, tuple[Function, Callable[[float], float]]] = {
  'x^2': (jnp.square, lambda theta: 2 * theta),
  'exp(x^2/8)': (lambda x: jnp.exp(x**2 / 8), _exact_steep),
}
ESTIMATES: Mapping[str, Estimate] = {
  'score function': score_function,
  'pathwise': pathwise,
}


class Row(NamedTuple):
  """Distribution of the estimates of one gradient.

  Attributes:
    f: formula of the function.
    estimator: name of the estimator.
    theta: mean of q.
    mean: mean of the estimates.
    median_of_one: median of the estimates from one draw.
    median_of_ten: median of the estimates from ten draws.
    below: fraction of the estimates from ten draws below the exact gradient.
    half: fraction of draws, largest first, that sum to half of the total.
  """

  f: str
  estimator: str
  theta: float
  mean: Comparison
  median_of_one: float
  median_of_ten: float
  below: float
  half: float


def share_of_half(draws: np.ndarray) -> float:
  """Returns the fraction of draws, largest first, with half of the total.

  The total must be positive.
  """
  running = np.cumsum(np.sort(draws)[::-1])
  return float(np.argmax(running >= running[-1] / 2) + 1) / len(draws)


def measure(key: Key, num_draws: int) -> tuple[Row, ...]:
  """Measures mean and median of estimates from one and from ten draws.

  Args:
    key: consumed.
    num_draws: gradients drawn per row; groups of ten are averaged.

  References:
    Mohamed et al. 2020, Monte Carlo Gradient Estimation in Machine Learning,
    section 4.3.3.
  """
  rows = []
  num_estimates = num_draws // NUM_SAMPLES
  for f_key, (name, (f, exact)) in zip(
    jax.random.split(key, len(FUNCTIONS)), FUNCTIONS.items(), strict=True
  ):
    keys = jax.random.split(f_key, len(THETAS))
    for estimator, estimate in ESTIMATES.items():
      draw = functools.partial(_draw, estimate, f, num_estimates * NUM_SAMPLES)
      many = jax.jit(functools.partial(jax.lax.map, draw))
      # Cloned keys: common random numbers for both estimators.
      gradients = many((jax.random.clone(keys), jnp.array(THETAS)))
      for theta, draws in zip(
        THETAS, np.asarray(gradients, float), strict=True
      ):
        tens = draws.reshape(num_estimates, NUM_SAMPLES).mean(axis=1)
        rows.append(
          Row(
            name,
            estimator,
            theta,
            compare_mean(draws, exact(theta)),
            float(np.median(draws)),
            float(np.median(tens)),
            float(np.mean(tens < exact(theta))),
            share_of_half(draws),
          )
        )
  return tuple(rows)


def _draw(
  estimate: Estimate,
  f: Function,
  num_draws: int,
  key_and_theta: tuple[Key, Array],
) -> Array:
  objective = lambda key, theta: estimate(key, Normal(theta, 0.0), f)
  return sample_gradients(
    key_and_theta[0], objective, key_and_theta[1], num_samples=num_draws
  )


def table(rows: Sequence[Row]) -> str:
  """Formats mean and medians relative to the exact gradient."""
  cells: list[list[str | float]] = []
  for row in rows:
    exact = row.mean.exact
    numbers = (row.mean.measured, row.median_of_one, row.median_of_ten)
    shares = [f'{number / exact:.3f}' for number in numbers]
    name = f'{row.f}, {row.estimator}'
    counts = (f'{row.below:.1%}', f'{100 * row.half:.2g}%')
    cells.append([name, f'{row.theta:g}', exact, *shares, *counts])
  return format_rows(
    'Gradient of E[f(x)], x ~ N(theta, 1): mean of the estimates, and medians '
    'of\nestimates from 1 and 10 draws, relative to the exact gradient.\n'
    '"below": fraction of estimates from 10 draws below the exact gradient.\n'
    '"half": fraction of draws, largest first, that sum to half of the total.',
    ('f', 'theta', 'exact', 'mean', 'med. 1', 'med. 10', 'below', 'half'),
    cells,
  )


def draw(path: pathlib.Path, rows: Sequence[Row]) -> pathlib.Path:
  """Plots the medians relative to the exact gradient against theta."""
  lines: dict[str, plots.Line] = {
    'exact gradient = 1': (THETAS, [1.0] * len(THETAS))
  }
  for f in FUNCTIONS:
    for estimator in ESTIMATES:
      own = [row for row in rows if (row.f, row.estimator) == (f, estimator)]
      shares = [row.median_of_ten / row.mean.exact for row in own]
      lines[f'{f}, {estimator}'] = (THETAS, shares)
  figure = plots.curves(
    'Median of estimates from ten draws, relative to the exact gradient',
    ('theta', 'median / exact gradient'),
    lines,
    points=lines,
  )
  return save_figure(path, figure)
