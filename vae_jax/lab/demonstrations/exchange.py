"""The gradient moved inside an expectation whose law depends on theta.

d/dtheta E_q[f] = E_q[df/dtheta] + E_q[f d log q/dtheta]; who draws x and then
differentiates f alone has the first term, and forgets the second.
"""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import plots
from vae_jax.distributions import Normal, sample
from vae_jax.estimators import pathwise, sample_gradients, score_function
from vae_jax.lab.demonstrations.comparison import (
  Comparison,
  compare_mean,
  format_rows,
  signed,
)
from vae_jax.types import Array, Key

THETAS = (0.0, 1.0, 2.0, 5.0)


class Loss(NamedTuple):
  """A function f_theta(x), x ~ N(theta, 1), and the terms of its gradient.

  Attributes:
    f: (theta, x) -> `[]`.
    inside: theta -> E[df/dtheta].
    forgotten: theta -> E[f d log q/dtheta].
  """

  f: Callable[[Array, Array], Array]
  inside: Callable[[float], float]
  forgotten: Callable[[float], float]


# Both expectations are theta^2 + 1, of gradient 2 theta.
LOSSES: Mapping[str, Loss] = {
  'x^2': Loss(lambda t, x: x**2, lambda t: 0.0, lambda t: 2 * t),
  '(x - theta)^2 + theta x': Loss(
    lambda t, x: (x - t) ** 2 + t * x, lambda t: t, lambda t: t
  ),
}


class Row(NamedTuple):
  """One function at one theta.

  Attributes:
    f: its name.
    theta: the mean of q.
    inside: E[df/dtheta], what differentiating f at the draws gives.
    forgotten: E[f d log q/dtheta].
    gradient: their sum, measured by the pathwise estimator.
  """

  f: str
  theta: float
  inside: Comparison
  forgotten: Comparison
  gradient: Comparison


def measure(key: Key, num_draws: int) -> tuple[Row, ...]:
  """Measures both terms of the gradient, and the gradient.

  Args:
    key: consumed.
    num_draws: gradients drawn for each number.

  References:
    Mohamed et al. 2020, Monte Carlo Gradient Estimation in Machine Learning,
    section 4.3.1 on the exchange, eq. (13), (23).
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
    for theta, (inside, forgotten, whole) in zip(THETAS, draws, strict=True):
      exact = loss.inside(theta), loss.forgotten(theta)
      rows.append(
        Row(
          name,
          theta,
          compare_mean(inside, exact[0]),
          compare_mean(forgotten, exact[1]),
          compare_mean(whole, sum(exact)),
        )
      )
  return tuple(rows)


def _draw(
  f: Callable[[Array, Array], Array],
  num_draws: int,
  keys_and_theta: tuple[Key, Array],
) -> tuple[Array, Array, Array]:
  """Draws the term inside, the forgotten term and the whole, `[N]` each."""
  keys, theta = keys_and_theta

  def inside(key: Key, theta: Array) -> Array:
    return f(theta, sample(key, Normal(theta, 0.0)))

  def forgotten(key: Key, theta: Array) -> Array:
    fixed = functools.partial(f, jax.lax.stop_gradient(theta))
    return score_function(key, Normal(theta, 0.0), fixed)

  def whole(key: Key, theta: Array) -> Array:
    return pathwise(key, Normal(theta, 0.0), functools.partial(f, theta))

  draws = [
    sample_gradients(keys[i], objective, theta, num_samples=num_draws)
    for i, objective in enumerate((inside, forgotten, whole))
  ]
  return draws[0], draws[1], draws[2]


def table(rows: Sequence[Row]) -> str:
  """Returns the terms, measured and exact, a table for each function."""
  parts = [
    'The gradient moved inside E_q, x ~ N(theta, 1), and the term '
    'E[f d log q/dtheta]\nthat this forgets; their sum is measured on its own'
  ]
  for name in LOSSES:
    cells = []
    for row in rows:
      if row.f == name:
        numbers: list[str | float] = [f'{row.theta:g}']
        for number in (row.inside, row.forgotten, row.gradient):
          numbers += [f'{number.measured:.3f}', number.exact, signed(number.z)]
        cells.append(numbers)
    terms = ('inside', 'forgotten', 'gradient')
    names = [cell for term in terms for cell in (term, 'exact', 'z')]
    parts.append(format_rows(f'f = {name}', ['theta', *names], cells))
  return '\n'.join(parts)


def draw(path: pathlib.Path, rows: Sequence[Row]) -> pathlib.Path:
  """Draws the exact gradient and what is left of it inside E_q."""
  ends = (min(THETAS), max(THETAS))
  lines = {'the gradient, of both': (ends, [2 * theta for theta in ends])}
  points = {
    'the gradient, of both': (
      [row.theta for row in rows],
      [row.gradient.measured for row in rows],
    )
  }
  for name, loss in LOSSES.items():
    own = [row for row in rows if row.f == name]
    label = f'moved inside, f = {name}'
    lines[label] = (ends, [loss.inside(theta) for theta in ends])
    points[label] = (
      [row.theta for row in own],
      [row.inside.measured for row in own],
    )
  return plots.curves(
    path,
    'What moving the gradient inside E_q forgets: the gap to the first line',
    ('theta', 'gradient'),
    lines,
    points=points,
  )
