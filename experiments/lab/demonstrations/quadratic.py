"""Variance of eight estimators of one gradient, measured and exact.

The gradient of E_{x ~ N(theta, 1)}[x^2] = theta^2 + 1 is 2 theta.
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
  compare_variance,
  format_rows,
  signed,
)
from vae_jax import plots
from vae_jax.distributions import Normal
from vae_jax.estimators import (
  measure_valued,
  pathwise,
  sample_gradients,
  score_function,
)
from vae_jax.runs.save_figure import save_figure
from vae_jax.types import Array, ArrayLike, Key

THETAS = (0.0, 1.0, 2.0, 5.0)


class Estimator(NamedTuple):
  """Estimator of E[x^2], differentiable in theta.

  Attributes:
    estimate: (key, theta) -> `[]`.
    variance: theta -> exact variance of one gradient.
  """

  estimate: Callable[[Key, Array], Array]
  variance: Callable[[float], float]


def _score(key: Key, theta: Array, baseline: ArrayLike | None = None) -> Array:
  return score_function(key, Normal(theta, 0.0), jnp.square, baseline=baseline)


def _leave_one_out(key: Key, theta: Array) -> Array:
  q = Normal(theta, 0.0)
  return score_function(
    key, q, jnp.square, num_samples=2, baseline='leave_one_out'
  )


def _pathwise(key: Key, theta: Array) -> Array:
  return pathwise(key, Normal(theta, 0.0), jnp.square)


def _pair(key: Key, theta: Array) -> Array:
  q = Normal(theta, 0.0)
  return pathwise(key, q, jnp.square, num_samples=2, antithetic=True)


def _weak(key: Key, theta: Array, coupled: bool) -> Array:
  return measure_valued(key, Normal(theta, 0.0), jnp.square, coupled=coupled)


# The variances are moments of N(0, 1), and for the measure-valued estimators
# of Weibull(2, sqrt 2): E[W] = sqrt(pi / 2), E[W^2] = 2, E[W^4] = 8.
ESTIMATORS: Mapping[str, Estimator] = {
  'score function': Estimator(_score, lambda t: t**4 + 14 * t**2 + 15),
  'score, baseline E[f]': Estimator(
    lambda key, t: _score(key, t, t**2 + 1), lambda t: 8 * t**2 + 10
  ),
  'score, best baseline': Estimator(
    lambda key, t: _score(key, t, t**2 + 3), lambda t: 8 * t**2 + 6
  ),
  'score, leave-one-out, 2 draws': Estimator(
    _leave_one_out, lambda t: 8 * t**2 + 6
  ),
  'pathwise': Estimator(_pathwise, lambda t: 4.0),
  'pathwise, antithetic pair': Estimator(_pair, lambda t: 0.0),
  'measure-valued, independent': Estimator(
    functools.partial(_weak, coupled=False),
    lambda t: 4 / math.pi + (8 / math.pi - 2) * t**2,
  ),
  'measure-valued, coupled': Estimator(
    functools.partial(_weak, coupled=True),
    lambda t: (16 / math.pi - 4) * t**2,
  ),
}


class Row(NamedTuple):
  """Mean and variance of one estimator at one theta."""

  estimator: str
  theta: float
  gradient: Comparison
  variance: Comparison


def measure(key: Key, num_draws: int) -> tuple[Row, ...]:
  """Measures the mean and variance of the gradient of every estimator.

  Args:
    key: consumed.
    num_draws: gradients drawn per row.

  References:
    Mohamed et al. 2020, Monte Carlo Gradient Estimation in Machine Learning,
    eq. (13), (14), (23), (30).
  """
  rows = []
  for estimator_key, (name, estimator) in zip(
    jax.random.split(key, len(ESTIMATORS)), ESTIMATORS.items(), strict=True
  ):
    keys = jax.random.split(estimator_key, len(THETAS))
    gradients = np.asarray(_draw(estimator.estimate, keys, num_draws))
    for theta, draws in zip(THETAS, gradients, strict=True):
      gradient = compare_mean(draws, 2 * theta)
      variance = compare_variance(draws, estimator.variance(theta))
      rows.append(Row(name, theta, gradient, variance))
  return tuple(rows)


def _draw(
  estimate: Callable[[Key, Array], Array], keys: Key, num_draws: int
) -> Array:
  """Draws gradients at each theta, `[thetas, num_draws]`."""

  def at(pair: tuple[Key, Array]) -> Array:
    return sample_gradients(pair[0], estimate, pair[1], num_samples=num_draws)

  # Sequential over theta, to bound the memory.
  return jax.jit(functools.partial(jax.lax.map, at))((keys, jnp.array(THETAS)))


def table(rows: Sequence[Row]) -> str:
  """Formats measured and exact variances with z-scores."""
  names = ('estimator', 'theta', 'exact', 'measured', '+-', 'z')
  cells = []
  for row in rows:
    exact, measured, error = row.variance
    z = signed(row.variance.z)
    cells.append((row.estimator, row.theta, exact, measured, error, z))
  return format_rows(
    'Variance of one gradient of E[x^2], x ~ N(theta, 1)', names, cells
  )


def draw(path: pathlib.Path, rows: Sequence[Row]) -> pathlib.Path:
  """Plots exact and measured standard deviations against theta."""
  grid = np.linspace(min(THETAS), max(THETAS), 101).tolist()
  lines: dict[str, plots.Line] = {
    name: (grid, [math.sqrt(estimator.variance(t)) for t in grid])
    for name, estimator in ESTIMATORS.items()
  }
  points: dict[str, plots.Line] = {}
  for name in ESTIMATORS:
    own = [row for row in rows if row.estimator == name]
    thetas = [row.theta for row in own]
    points[name] = (thetas, [math.sqrt(row.variance.measured) for row in own])
  figure = plots.curves(
    'Standard deviation of one gradient: exact (lines), measured (dots)',
    ('theta', 'standard deviation'),
    lines,
    points=points,
  )
  return save_figure(path, figure)
