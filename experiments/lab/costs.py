"""Gradient estimators on three cost functions of a normal variable."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.lab.records import Case, Record, make_draw, measure
from vae_jax.distributions import Normal
from vae_jax.estimators import measure_valued, pathwise, score_function
from vae_jax.types import Array, Key, Params

# x ~ N(1, 1), as in Mohamed et al. 2020.
_POINT = {'loc': 1.0, 'log_scale': 0.0}


class Cost(NamedTuple):
  """Cost f(k, x) and its expectation under N(loc, exp(log_scale)^2).

  Attributes:
    name: formula of the cost.
    sweep: values of k.
    f: `f(k, x)`, `[]`.
    expectation: `expectation(k, loc, log_scale)`, `[]`.
  """

  name: str
  sweep: tuple[float, ...]
  f: Callable[[Array, Array], Array]
  expectation: Callable[[float, Array, Array], Array]


def _square(k: float, loc: Array, log_scale: Array) -> Array:
  return (loc - k) ** 2 + jnp.exp(2 * log_scale)


def _bell(k: float, loc: Array, log_scale: Array) -> Array:
  width = 1 + 2 * k * jnp.exp(2 * log_scale)
  return jnp.exp(-k * loc**2 / width) / jnp.sqrt(width)


def _wave(k: float, loc: Array, log_scale: Array) -> Array:
  return jnp.cos(k * loc) * jnp.exp(-0.5 * k**2 * jnp.exp(2 * log_scale))


COSTS = (
  Cost('(x - k)^2', (-3, -1, 0, 1, 3), lambda k, x: (x - k) ** 2, _square),
  Cost('exp(-k x^2)', (0.1, 1, 3, 10), lambda k, x: jnp.exp(-k * x**2), _bell),
  Cost('cos(k x)', (0.5, 1, 2, 5), lambda k, x: jnp.cos(k * x), _wave),
)

# name -> (estimator, evaluations of f per estimate of two draws). The delta
# baseline also evaluates f, f' and f'' at one point. Measure-valued estimators
# evaluate f at each draw, and at two points per draw and parameter.
ESTIMATORS = {
  'pathwise': (functools.partial(pathwise, num_samples=2), 2),
  'pathwise, antithetic': (
    functools.partial(pathwise, num_samples=2, antithetic=True),
    2,
  ),
  'score function': (functools.partial(score_function, num_samples=2), 2),
  'score, leave-one-out': (
    functools.partial(score_function, num_samples=2, baseline='leave_one_out'),
    2,
  ),
  'score, delta': (
    functools.partial(score_function, num_samples=2, baseline='delta'),
    5,
  ),
  'measure-valued, coupled': (
    functools.partial(measure_valued, num_samples=2),
    10,
  ),
  'measure-valued': (
    functools.partial(measure_valued, num_samples=2, coupled=False),
    10,
  ),
}


def exact_gradient(cost: Cost, k: float) -> dict[str, float]:
  """Returns dE[f(k, x)]/dloc and dE[f(k, x)]/dlog_scale in closed form."""
  with jax.enable_x64(True):
    gradient = jax.grad(functools.partial(cost.expectation, k), (0, 1))
    values = gradient(*map(jnp.float64, _POINT.values()))
  return dict(zip(_POINT, map(float, values), strict=True))


def compare(key: Key, num_draws: int) -> list[Record]:
  """Measures every estimator on every cost with common random numbers.

  References:
    Mohamed et al. 2020, Monte Carlo Gradient Estimation in Machine Learning,
    section 3, figures 2 and 3.
  """
  records = []
  for cost in COSTS:
    exact = {k: exact_gradient(cost, k) for k in cost.sweep}
    for name, (estimator, evaluations) in ESTIMATORS.items():
      draw = make_draw(_objective(cost, estimator), num_draws)
      for k in cost.sweep:
        case = Case('costs', setting(cost, k), _POINT, exact[k])
        records += measure(
          jax.random.clone(key), case, name, draw, k, evaluations=evaluations
        )
  # Sorted so that the estimators of one point are adjacent.
  settings = [setting(cost, k) for cost in COSTS for k in cost.sweep]
  return sorted(records, key=lambda r: (settings.index(r.setting), r.parameter))


def setting(cost: Cost, k: float) -> str:
  """Returns the description of a point of the sweep."""
  return f'{cost.name}, k = {k:g}'


def _objective(
  cost: Cost, estimator: Callable[..., Array]
) -> Callable[[Key, Params, Array], Array]:
  def objective(key: Key, params: Params, k: Array) -> Array:
    return estimator(key, Normal(**params), functools.partial(cost.f, k))

  return objective
