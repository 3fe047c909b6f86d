"""Measured bias, variance and cost of gradient estimators, as records."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.estimators import gradient_statistics, sample_gradients
from vae_jax.types import Array, Key, Params


class Record(NamedTuple):
  """A gradient estimator at one point, in one parameter.

  Attributes:
    suite: name of the set of problems.
    setting: description of the point.
    estimator: name of the estimator.
    parameter: name of the differentiated parameter.
    exact: exact derivative.
    mean: mean of the estimates.
    bias: mean - exact.
    z: bias over the standard error of the mean.
    variance: variance of one estimate.
    signal_to_noise: |exact| over the standard deviation of one estimate.
    evaluations: evaluations of f per estimate.
    microseconds: time per estimate of all parameters, in one compiled call.
    variance_x_evaluations: cost of a given accuracy.
  """

  suite: str
  setting: str
  estimator: str
  parameter: str
  exact: float
  mean: float
  bias: float
  z: float
  variance: float
  signal_to_noise: float
  evaluations: int
  microseconds: float
  variance_x_evaluations: float


class Case(NamedTuple):
  """Problem on which estimators are compared.

  Attributes:
    suite: as in `Record`.
    setting: as in `Record`.
    params: parameters by name, scalars.
    exact: exact derivatives by parameter name.
  """

  suite: str
  setting: str
  params: dict[str, float]
  exact: dict[str, float]


# (key, params, point) -> gradients, each leaf `[num_draws]`
Draw = Callable[[Key, Params, Array], Params]


def make_draw(
  objective: Callable[[Key, Params, Array], Array], num_draws: int
) -> Draw:
  """Returns a compiled sampler of the gradients of an objective."""

  def draw(key: Key, params: Params, point: Array) -> Params:
    at = lambda key, params: objective(key, params, point)
    return sample_gradients(key, at, params, num_samples=num_draws)

  return jax.jit(draw)


def measure(
  key: Key,
  case: Case,
  estimator: str,
  draw: Draw,
  point: float,
  *,
  evaluations: int,
) -> list[Record]:
  """Compares the mean of gradient draws at a point with the exact gradient.

  Estimators with the same key use common random numbers.
  """
  params = {name: jnp.float32(value) for name, value in case.params.items()}
  run = lambda: jax.block_until_ready(
    draw(jax.random.clone(key), params, jnp.float32(point))
  )
  run()  # Compiles at the first point.
  started = time.perf_counter()
  draws = run()
  count = len(next(iter(draws.values())))
  microseconds = 1e6 * (time.perf_counter() - started) / count
  # In float64: the sum of 100,000 squares loses digits in float32.
  with jax.enable_x64(True):
    wide = jax.tree.map(lambda x: jnp.asarray(np.asarray(x, np.float64)), draws)
    found = gradient_statistics(wide)
  return [
    _record(case, estimator, name, found, evaluations, microseconds)
    for name in case.params
  ]


def _record(
  case: Case,
  estimator: str,
  name: str,
  found: Any,
  evaluations: int,
  microseconds: float,
) -> Record:
  exact, mean = case.exact[name], float(found.mean[name])
  variance = float(found.variance[name])
  # Equal draws have float32 rounding errors.
  error = max(float(found.standard_error[name]), 1e-6 * (1 + abs(exact)))
  return Record(
    case.suite,
    case.setting,
    estimator,
    name,
    exact,
    mean,
    mean - exact,
    (mean - exact) / error,
    variance,
    abs(exact) / max(variance, 1e-30) ** 0.5,
    evaluations,
    microseconds,
    variance * evaluations,
  )


def table(records: Sequence[Record]) -> str:
  """Formats the records of one suite as aligned columns."""
  header = (
    f'{"setting":<22}{"parameter":<15}{"estimator":<26}{"exact":>10}'
    f'{"mean":>10}{"bias":>10}{"z":>7}{"variance":>12}{"SNR":>9}{"f evals":>8}'
    f'{"us":>7}{"var x evals":>13}'
  )
  lines = [header, '-' * len(header)]
  for r in records:
    lines.append(
      f'{r.setting:<22}{r.parameter:<15}{r.estimator:<26}{r.exact:>10.4f}'
      f'{r.mean:>10.4f}{r.bias:>10.1e}{r.z:>7.1f}{r.variance:>12.4g}'
      f'{r.signal_to_noise:>9.3g}{r.evaluations:>8}{r.microseconds:>7.2f}'
      f'{r.variance_x_evaluations:>13.4g}'
    )
  return '\n'.join(lines)
