"""Interchange of gradient and expectation when q depends on theta.

d/dtheta E_q[f] = E_q[df/dtheta] + E_q[f d log q/dtheta]. Differentiating f at
fixed draws of x gives the first term only and omits the score term.
"""

import functools
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
from vae_jax.distributions import Normal, sample
from vae_jax.estimators import pathwise, sample_gradients, score_function
from vae_jax.runs.save_figure import save_figure
from vae_jax.types import Array, Key

THETAS = (0.0, 1.0, 2.0, 5.0)


class Loss(NamedTuple):
  """Function f_theta(x), x ~ N(theta, 1), and the terms of its gradient.

  Attributes:
    f: (theta, x) -> `[]`.
    inside: theta -> E[df/dtheta].
    score: theta -> E[f d log q/dtheta].
  """

  f: Callable[[Array, Array], Array]
  inside: Callable[[float], float]
  score: Callable[[float], float]


# Both expectations are theta^2 + 1, with gradient 2 theta.
LOSSES: Mapping[str, Loss] = {
  'x^2': Loss(lambda t, x: x**2, lambda t: 0.0, lambda t: 2 * t),
  '(x - theta)^2 + theta x': Loss(
    lambda t, x: (x - t) ** 2 + t * x, lambda t: t, lambda t: t
  ),
}


class Row(NamedTuple):
  """Gradient terms of one function at one theta.

  Attributes:
    f: formula of the function.
    theta: mean of q.
    inside: E[df/dtheta], the derivative of f at fixed draws.
    score: E[f d log q/dtheta], the omitted term.
    gradient: sum of both, measured with the pathwise estimator.
  """

  f: str
  theta: float
  inside: Comparison
  score: Comparison
  gradient: Comparison


def measure(key: Key, num_draws: int) -> tuple[Row, ...]:
  """Measures both terms of the gradient, and the gradient.

  Args:
    key: consumed.
    num_draws: gradients drawn per estimate.

  References:
    Mohamed et al. 2020, Monte Carlo Gradient Estimation in Machine Learning,
    section 4.3.1 on the interchange, eq. (13), (23).
  """
  rows = []
  for loss_key, (name, loss) in zip(
    jax.random.split(key, len(LOSSES)), LOSSES.items(), strict=True
  ):
    keys = jax.random.split(loss_key, (len(THETAS), 3))
    draw = functools.partial(_draw, loss.f, num_draws)
    many = jax.jit(functools.partial(jax.lax.map, draw))
    terms = map(np.asarray, many((keys, jnp.array(THETAS))))
    draws = zip(*terms, strict=True)
    for theta, (inside, score, whole) in zip(THETAS, draws, strict=True):
      exact = loss.inside(theta), loss.score(theta)
      rows.append(
        Row(
          name,
          theta,
          compare_mean(inside, exact[0]),
          compare_mean(score, exact[1]),
          compare_mean(whole, sum(exact)),
        )
      )
  return tuple(rows)


def _draw(
  f: Callable[[Array, Array], Array],
  num_draws: int,
  keys_and_theta: tuple[Key, Array],
) -> tuple[Array, Array, Array]:
  """Draws the inside term, the score term and the gradient, `[N]` each."""
  keys, theta = keys_and_theta

  def inside(key: Key, theta: Array) -> Array:
    return f(theta, sample(key, Normal(theta, 0.0)))

  def score(key: Key, theta: Array) -> Array:
    fixed = functools.partial(f, jax.lax.stop_gradient(theta))
    return score_function(key, Normal(theta, 0.0), fixed)

  def whole(key: Key, theta: Array) -> Array:
    return pathwise(key, Normal(theta, 0.0), functools.partial(f, theta))

  draws = [
    sample_gradients(keys[i], objective, theta, num_samples=num_draws)
    for i, objective in enumerate((inside, score, whole))
  ]
  return draws[0], draws[1], draws[2]


def table(rows: Sequence[Row]) -> str:
  """Formats the measured and exact terms, one table per function."""
  parts = [
    'Gradient of E_q[f], x ~ N(theta, 1): E[df/dtheta] (inside), '
    'E[f d log q/dtheta] (score)\nand, measured independently, their sum'
  ]
  for name in LOSSES:
    cells = []
    for row in rows:
      if row.f == name:
        numbers: list[str | float] = [f'{row.theta:g}']
        for number in (row.inside, row.score, row.gradient):
          numbers += [f'{number.measured:.3f}', number.exact, signed(number.z)]
        cells.append(numbers)
    terms = ('inside', 'score', 'gradient')
    names = [cell for term in terms for cell in (term, 'exact', 'z')]
    parts.append(format_rows(f'f = {name}', ['theta', *names], cells))
  return '\n'.join(parts)


def draw(path: pathlib.Path, rows: Sequence[Row]) -> pathlib.Path:
  """Plots the gradient, and the term that is left inside E_q."""
  ends = (min(THETAS), max(THETAS))
  lines = {'gradient of both functions': (ends, [2 * theta for theta in ends])}
  points = {
    'gradient of both functions': (
      [row.theta for row in rows],
      [row.gradient.measured for row in rows],
    )
  }
  for name, loss in LOSSES.items():
    own = [row for row in rows if row.f == name]
    label = f'E[df/dtheta], f = {name}'
    lines[label] = (ends, [loss.inside(theta) for theta in ends])
    points[label] = (
      [row.theta for row in own],
      [row.inside.measured for row in own],
    )
  figure = plots.curves(
    'Differentiating inside E_q omits the score term (gap to the first line)',
    ('theta', 'gradient'),
    lines,
    points=points,
  )
  return save_figure(path, figure)
