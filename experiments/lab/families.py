"""Gradient estimators for every distribution family, cost exp(-z^2)."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.lab.costs import ESTIMATORS
from experiments.lab.records import Case, Record, make_draw, measure
from experiments.lab.scipy_references import FAMILIES, exact_gradient
from vae_jax.types import Array, Key, Params

# Its events are vectors.
_EXCLUDED = {'MultivariateNormal'}
# The Taylor (delta) baseline needs a variance.
_WITHOUT_VARIANCE = {'Cauchy', 'StudentT', 'Pareto'}


class Unsupported(NamedTuple):
  """An estimator that does not support a parameter, and the reason."""

  suite: str
  setting: str
  estimator: str
  parameter: str
  reason: str


def compare(key: Key, num_draws: int) -> tuple[list[Record], list[Unsupported]]:
  """Measures each estimator in each parameter it supports.

  The exact derivatives are computed by quadrature in float64.
  """
  records: list[Record] = []
  unsupported: list[Unsupported] = []
  for family in FAMILIES:
    if family in _EXCLUDED:
      continue
    for name in ESTIMATORS:
      if name == 'score, delta' and family in _WITHOUT_VARIANCE:
        reason = f'the delta baseline needs the variance of {family}'
        unsupported.append(Unsupported('families', family, name, 'all', reason))
        continue
      parameters = tuple(FAMILIES[family].params)
      try:
        records += _measure(key, family, name, parameters, num_draws)
      except TypeError:
        # One at a time, to find the parameters that are not supported.
        for parameter in parameters:
          try:
            records += _measure(key, family, name, (parameter,), num_draws)
          except TypeError as error:
            unsupported.append(
              Unsupported('families', family, name, parameter, str(error))
            )
  names = list(FAMILIES)
  records.sort(key=lambda r: (names.index(r.setting), r.parameter))
  return records, unsupported


def _measure(
  key: Key,
  family: str,
  name: str,
  parameters: tuple[str, ...],
  num_draws: int,
) -> list[Record]:
  (make, values), (estimator, evaluations) = FAMILIES[family], ESTIMATORS[name]
  if 'measure' in name:
    # Two draws, and two points per draw and parameter.
    evaluations = 2 + 4 * len(parameters)
  exact = {k: float(x) for k, x in _exact(family).items()}
  params = {k: values[k] for k in parameters}
  objective = _objective(make, dict(values), estimator)
  return measure(
    jax.random.clone(key),
    Case('families', family, params, exact),
    name,
    make_draw(objective, num_draws),
    0.0,
    evaluations=evaluations,
  )


@functools.cache
def _exact(family: str) -> dict[str, Any]:
  return exact_gradient(FAMILIES[family])


def _objective(
  make: Callable[..., Any],
  fixed: dict[str, Any],
  estimator: Callable[..., Array],
) -> Callable[[Key, Params, Array], Array]:
  def objective(key: Key, params: Params, point: Array) -> Array:
    del point
    return estimator(key, make(**(fixed | params)), lambda z: jnp.exp(-(z**2)))

  return objective
