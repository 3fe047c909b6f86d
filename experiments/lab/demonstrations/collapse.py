"""Variance collapse of q if the objective omits log|det C|.

With z = mu + C eps, E_q[log p(z) - log q(z)] equals
E[log p(mu + C eps)] + log|det C| plus a constant. Without the determinant the
optimal q is a point mass at the mode of p.
"""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab.demonstrations.comparison import format_rows
from vae_jax import plots
from vae_jax.distributions import MultivariateNormal
from vae_jax.estimators import pathwise
from vae_jax.runs.save_figure import save_figure
from vae_jax.types import Array, Key

NUM_STEPS, LEARNING_RATE, NUM_SAMPLES = 500, 0.05, 100
# p = N(m, L L'). The optimal q equals p.
TARGET_LOC = np.array([1.0, -0.5, 2.0])
TARGET_SCALE = np.array([[1.0, 0, 0], [0.5, 0.8, 0], [-0.3, 0.4, 1.2]])
TARGET_VARIANCE = float(np.sum(TARGET_SCALE**2))


class Row(NamedTuple):
  """Fit of q to p; "variance" is the trace of the covariance of q.

  Attributes:
    objective: the maximised objective.
    exact: variance at the optimum.
    fitted: mean variance over the second half of the steps.
    last: variance after the last step.
    trajectory: variance after 0, 1, ... steps.
  """

  objective: str
  exact: float
  fitted: float
  last: float
  trajectory: tuple[float, ...]


def fit(key: Key, with_determinant: bool) -> Array:
  """Returns the sum of the variances of q after each step, `[steps + 1]`."""
  p = MultivariateNormal(
    jnp.array(TARGET_LOC, float), jnp.array(TARGET_SCALE, float)
  )

  def objective(params: dict[str, Array], key: Key) -> Array:
    q = MultivariateNormal(params['loc'], params['scale_tril'])
    value = pathwise(key, q, p.log_prob, num_samples=NUM_SAMPLES)
    return value + q.log_abs_det() if with_determinant else value

  def step(
    params: dict[str, Array], key: Key
  ) -> tuple[dict[str, Array], Array]:
    gradient = jax.grad(objective)(params, key)
    moved = jax.tree.map(lambda x, g: x + LEARNING_RATE * g, params, gradient)
    return moved, jnp.sum(params['scale_tril'] ** 2)

  start = {'loc': jnp.zeros(3), 'scale_tril': jnp.eye(3)}
  keys = jax.random.split(key, NUM_STEPS)
  last, variances = jax.lax.scan(step, start, keys)
  return jnp.append(variances, jnp.sum(last['scale_tril'] ** 2))


def measure(key: Key, num_draws: int) -> tuple[Row, ...]:
  """Fits a normal q to a normal p, with and without log|det C|.

  Args:
    key: consumed.
    num_draws: not used; a step uses `NUM_SAMPLES` draws.

  References:
    Titsias and Lazaro-Gredilla 2014, Doubly Stochastic Variational Bayes for
    non-Conjugate Inference, section 2.
  """
  del num_draws
  rows = []
  for fit_key, (name, with_determinant, exact) in zip(
    jax.random.split(key),
    (
      ('E[log p] + log|det C|', True, TARGET_VARIANCE),
      ('E[log p] alone', False, 0.0),
    ),
    strict=True,
  ):
    variances = jax.jit(fit, static_argnums=1)(fit_key, with_determinant)
    values = np.asarray(variances, np.float64)
    fitted = float(values[NUM_STEPS // 2 :].mean())
    last = float(values[-1])
    rows.append(Row(name, exact, fitted, last, tuple(values.tolist())))
  return tuple(rows)


def table(rows: Sequence[Row]) -> str:
  """Formats the fitted variances."""
  return format_rows(
    f"Fit of q = N(mu, C C') to a normal p, {NUM_STEPS} steps: sum of the "
    'variances of q',
    ('objective', 'optimum', 'second half', 'last step'),
    [row[:4] for row in rows],
  )


def draw(path: pathlib.Path, rows: Sequence[Row]) -> pathlib.Path:
  """Plots the variance of q against the step."""
  steps = range(NUM_STEPS + 1)
  lines: dict[str, plots.Line] = {
    'variance of p': ((0, NUM_STEPS), (TARGET_VARIANCE, TARGET_VARIANCE))
  }
  lines |= {f'objective: {x.objective}': (steps, x.trajectory) for x in rows}
  figure = plots.curves(
    'Without log|det C| the variance of q collapses',
    ('step', 'sum of the variances of q'),
    lines,
    scales=('linear', 'log'),
  )
  return save_figure(path, figure)
