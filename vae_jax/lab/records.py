"""One measured point of one estimator, and tables of many."""

import json
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import files
from vae_jax.estimators import gradient_statistics, sample_gradients
from vae_jax.types import Array, Key, Params


class Record(NamedTuple):
  """A gradient estimator at one point, in one parameter.

  Attributes:
    suite: what it was compared on.
    setting: the point, in words.
    estimator: its name.
    parameter: that is differentiated.
    exact: the derivative.
    mean: of the estimates.
    bias: mean - exact.
    z: bias over the standard error of the mean.
    variance: of one estimate.
    signal_to_noise: |exact| over the standard deviation of one estimate.
    evaluations: of f, an estimate.
    microseconds: an estimate, of all parameters, in one compiled call.
    variance_x_evaluations: what one pays for a given accuracy.
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
  """What is measured, all but the estimator.

  Attributes:
    suite: as in `Record`.
    setting: as in `Record`.
    params: name -> value, each a scalar.
    exact: name -> derivative.
  """

  suite: str
  setting: str
  params: dict[str, float]
  exact: dict[str, float]


# (key, params, point) -> draws of the gradient, each leaf `[num_draws]`
Draw = Callable[[Key, Params, Array], Params]


def make_draw(
  objective: Callable[[Key, Params, Array], Array], num_draws: int
) -> Draw:
  """Compiles the gradient draws of `objective(key, params, point)`."""

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
  """Draws gradients at a point and compares them with the exact ones.

  Estimators given the same key see the same noise.
  """
  params = {name: jnp.float32(value) for name, value in case.params.items()}
  run = lambda: jax.block_until_ready(
    draw(jax.random.clone(key), params, jnp.float32(point))
  )
  run()  # Compiles, where the first point has not.
  started = time.perf_counter()
  draws = run()
  count = len(next(iter(draws.values())))
  microseconds = 1e6 * (time.perf_counter() - started) / count
  # In float64: a sum of squares of 100,000 draws loses digits in float32.
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
  # Draws that all agree still carry the rounding of float32.
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
  """Returns the records of one suite as aligned columns."""
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


def write_results(path: pathlib.Path, results: Sequence[Any]) -> pathlib.Path:
  """Writes a JSON list of records, whole or not at all."""
  records = [r._asdict() if hasattr(r, '_asdict') else r for r in results]
  files.write_text(path, json.dumps(records, indent=1, allow_nan=False) + '\n')
  return path
