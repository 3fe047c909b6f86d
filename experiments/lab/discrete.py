"""Gradient estimators of discrete latents beside exact enumeration.

On `discrete_problems`. Biased estimators are marked; their bias is measured
like that of the others.
"""

import functools
import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from experiments.lab.config import GradientVarianceConfig
from experiments.lab.discrete_problems import Problem, problems
from vae_jax import plots
from vae_jax.estimators import (
  disarm,
  enumeration,
  gumbel_softmax,
  measure_valued,
  score_function,
  straight_through,
)
from vae_jax.runs.save_figure import save_figure
from vae_jax.training.gradient_noise import Moments, gradient_moments
from vae_jax.types import Array, Key, Params

SUITE = 'discrete'
EXACT = 'enumeration'
# Differences of a float32 cost, relative to a gradient of 1e-3 of it.
_ROUNDING = 1e-4
# Noise and errors of a smaller share of the gradient are drawn at this one.
_FLOOR = 1e-3

# (key, q, f, E[f] over all examples) -> an estimate of E_q[f(z)], `[]`
Estimate = Callable[..., Array]


class Row(NamedTuple):
  """A gradient estimator, and the q that it admits.

  Attributes:
    estimate: an `Estimate`.
    bits_only: whether q must be a Bernoulli.
    biased: whether its expectation is another than the gradient.
  """

  estimate: Estimate
  bits_only: bool = False
  biased: bool = False


def _of(estimator: Callable[..., Array], **options: Any) -> Estimate:
  return lambda key, q, f, mean: estimator(key, q, f, **options)


_score = functools.partial(score_function, num_samples=2)
_straight = functools.partial(straight_through, num_samples=2)
# Two draws per estimate, but for those that draw none or replace each bit. The
# mean over examples is what a moving average tends to.
ESTIMATORS: Mapping[str, Row] = {
  EXACT: Row(lambda key, q, f, mean: enumeration(q, f)),
  'score function': Row(_of(_score)),
  'score, mean of f': Row(
    lambda key, q, f, mean: _score(key, q, f, baseline=mean)
  ),
  'score, leave-one-out': Row(_of(_score, baseline='leave_one_out')),
  'score, delta': Row(_of(_score, baseline='delta'), bits_only=True),
  'measure-valued': Row(_of(measure_valued), bits_only=True),
  'disarm': Row(_of(disarm), bits_only=True),
  'gumbel-softmax, 0.5': Row(
    _of(gumbel_softmax, num_samples=2, temperature=0.5), biased=True
  ),
  'straight-through, 0.5': Row(_of(_straight, temperature=0.5), biased=True),
  'straight-through, mean': Row(_of(_straight, temperature=None), biased=True),
}


class Point(NamedTuple):
  """Bias, variance and time of an estimator of a gradient.

  Attributes:
    suite: as in `Record`.
    setting: description of the problem.
    estimator: name of the estimator.
    biased: whether its expectation is another than the gradient.
    gradient: norm of the exact gradient, by enumeration.
    mean: component of the mean gradient along the exact one.
    error: norm of the difference between mean and exact gradient.
    bias: error corrected for that of sampling; 0 where the latter is larger.
    bias_in_gradients: bias over the norm of the exact gradient.
    bias_z: root mean square, over coordinates, of the difference in standard
      errors: near 1 for an unbiased estimator.
    variance: variance of one gradient, summed over coordinates.
    num_draws: gradients that were drawn.
    microseconds: time per gradient.
  """

  suite: str
  setting: str
  estimator: str
  biased: bool
  gradient: float
  mean: float
  error: float
  bias: float
  bias_in_gradients: float
  bias_z: float
  variance: float
  num_draws: int
  microseconds: float


def measure(key: Key, problem: Problem, num_draws: int) -> list[Point]:
  """Measures every estimator that the problem admits, with common numbers."""
  exact, mean = _exact(problem)
  points = []
  for name, row in ESTIMATORS.items():
    if row.bits_only and not problem.is_bits:
      continue
    moments, microseconds = _moments(
      jax.random.clone(key), problem, row.estimate, mean, num_draws
    )
    points.append(
      _point(problem.setting, name, row.biased, exact, moments, microseconds)
    )
  return points


def _exact(problem: Problem) -> tuple[np.ndarray, float]:
  """Returns the exact gradient and the mean of E_q[f] over examples."""

  def total(params: Params) -> tuple[Array, Array]:
    objective = lambda keep: problem.objective(keep, params)
    value = objective(lambda i, q, f: enumeration(q, f))
    without = objective(lambda i, q, f: jnp.zeros(()))
    return value, value - without

  both = jax.jit(jax.grad(total, has_aux=True))
  gradient, mean = both(problem.params)
  return _flat(gradient), float(mean)


def _flat(tree: Any) -> np.ndarray:
  return np.asarray(ravel_pytree(tree)[0], np.float64)


def _moments(
  key: Key, problem: Problem, estimate: Estimate, mean: float, num_draws: int
) -> tuple[Moments, float]:
  """Returns the moments of gradients, and the microseconds per gradient."""

  def loss(key: Key, params: Params, batch: Array) -> tuple[Array, Any]:
    # A zero that the compiler does not know, else what draws nothing would
    # leave the loop and be timed once.
    zero = jnp.minimum(jax.random.key_data(key)[0].astype(float), 0)
    params = jax.tree.map(lambda leaf: leaf + zero, params)
    keys = jax.random.split(key, problem.num_examples)
    one = lambda i, q, f: estimate(keys[i], q, f, batch)
    return problem.objective(one, params), {}

  draw = jax.jit(
    lambda key, mean: gradient_moments(
      key, loss, problem.params, mean, num_draws
    )
  )
  run = lambda: jax.block_until_ready(draw(jax.random.clone(key), mean))
  run()  # Compiles.
  started = time.perf_counter()
  moments = run()
  return moments, 1e6 * (time.perf_counter() - started) / num_draws


def _point(
  setting: str,
  name: str,
  biased: bool,
  exact: np.ndarray,
  moments: Moments,
  microseconds: float,
) -> Point:
  # Rounding makes the variance of equal gradients negative.
  mean, variance = _flat(moments.mean), np.maximum(_flat(moments.variance), 0)
  count, norm = int(moments.num_draws), float(np.linalg.norm(exact))
  error = float(np.linalg.norm(mean - exact))
  bias = math.sqrt(max(error**2 - variance.sum() / count, 0.0))
  z = _root_mean_square_z(mean - exact, np.sqrt(variance / count), norm)
  along = float(mean @ exact) / norm
  total = float(variance.sum())
  return Point(
    *(SUITE, setting, name, biased, norm, along, error, bias, bias / norm, z),
    *(total, count, microseconds),
  )


def _root_mean_square_z(
  differences: np.ndarray, deviations: np.ndarray, norm: float
) -> float:
  """Returns the rms of differences in standard errors, or in rounding errors.

  Coordinates without noise and difference, such as those of constant pixels,
  are ignored.
  """
  least = _ROUNDING * norm / math.sqrt(differences.size)
  counted = np.maximum(deviations, np.abs(differences)) > least
  if not counted.any():
    return 0.0
  z = differences[counted] / np.maximum(deviations, least)[counted]
  return float(np.sqrt(np.mean(z**2)))


def table(points: Sequence[Point]) -> str:
  """Formats the points as aligned columns."""
  header = (
    f'{"problem":<26}{"estimator":<32}{"exact":>10}{"mean":>10}{"bias":>10}'
    f'{"bias/exact":>11}{"rms z":>8}{"variance":>11}{"us":>9}'
  )
  lines = [header, '-' * len(header)]
  for p in points:
    name = p.estimator + ' (BIASED)' * p.biased
    lines.append(
      f'{p.setting:<26}{name:<32}{p.gradient:>10.3g}{p.mean:>10.3g}'
      f'{p.bias:>10.2g}{p.bias_in_gradients:>11.2g}{p.bias_z:>8.2f}'
      f'{p.variance:>11.3g}{p.microseconds:>9.1f}'
    )
  return '\n'.join(lines)


def draw(points: Sequence[Point]) -> plots.Figure:
  """Draws the error of the mean gradient against the noise of one.

  An unbiased estimator lies near the line noise / sqrt(draws).
  """
  others = [p for p in points if p.estimator != EXACT]
  noise = {
    p.estimator: max(math.sqrt(p.variance) / p.gradient, _FLOOR) for p in others
  }
  where = {
    p.estimator + ' (BIASED)' * p.biased: (
      [noise[p.estimator]],
      [max(p.error / p.gradient, _FLOOR)],
    )
    for p in others
  }
  count = others[0].num_draws
  root, highest = math.sqrt(count), max(noise.values())
  ends = np.array([max(min(noise.values()), _FLOOR * root), highest])
  return plots.curves(
    f'Error of the mean of {count} gradients: {others[0].setting}',
    (
      f'standard deviation of one gradient / exact ({_FLOOR:g} or more)',
      f'error of the mean / exact ({_FLOOR:g} or more)',
    ),
    {
      'unbiased: deviation / sqrt(draws)': (
        ends.tolist(),
        (ends / root).tolist(),
      )
    },
    points=where,
    scales=('log', 'log'),
  )


def suite(
  key: Key, config: GradientVarianceConfig, folder: pathlib.Path
) -> tuple[list[Any], list[pathlib.Path]]:
  """Measures the estimators, prints a table and draws a figure per problem."""
  params_key, draws_key = jax.random.split(key)
  found: list[Any] = []
  paths = []
  print('\nDiscrete latents: gradient estimators beside exact enumeration')
  for i, problem in enumerate(problems(params_key)):
    # The gradients of a model take longer.
    scale = 1 if problem.num_examples == 1 else 100
    num_draws = max(2, config.num_draws // scale)
    points = measure(jax.random.fold_in(draws_key, i), problem, num_draws)
    print(table(points), flush=True)
    path = folder / f'{SUITE}_{i}.png'
    paths.append(save_figure(path, draw(points)))
    found += points
  return found, paths
