"""Every estimator on every family, under the bounded cost exp(-z^2)."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.lab.costs import ESTIMATORS
from vae_jax.lab.demonstrations.laws import FAMILIES, exact_gradient
from vae_jax.lab.records import Case, Record, make_draw, measure
from vae_jax.types import Array, Key, Params

# Their events are vectors, or their Taylor baseline has no moments to use.
_WITHOUT = {'MultivariateNormal'}
_WITHOUT_MOMENTS = {'Cauchy', 'StudentT', 'Pareto'}


class Refusal(NamedTuple):
  """An estimator that does not serve a parameter, and why."""

  suite: str
  setting: str
  estimator: str
  parameter: str
  refused: str


def compare(key: Key, num_draws: int) -> tuple[list[Record], list[Refusal]]:
  """Measures each estimator in each parameter, or records its refusal.

  The exact derivatives are by quadrature in float64.
  """
  records: list[Record] = []
  refusals: list[Refusal] = []
  for family in FAMILIES:
    if family in _WITHOUT:
      continue
    for name in ESTIMATORS:
      if name == 'score, delta' and family in _WITHOUT_MOMENTS:
        reason = f'{family} has no variance to expand over'
        refusals.append(Refusal('families', family, name, 'all', reason))
        continue
      parameters = tuple(FAMILIES[family].params)
      try:
        records += _measure(key, family, name, parameters, num_draws)
      except TypeError:
        # One by one, to see which of them it was.
        for parameter in parameters:
          try:
            records += _measure(key, family, name, (parameter,), num_draws)
          except TypeError as error:
            refusals.append(
              Refusal('families', family, name, parameter, str(error))
            )
  names = list(FAMILIES)
  records.sort(key=lambda r: (names.index(r.setting), r.parameter))
  return records, refusals


def _measure(
  key: Key,
  family: str,
  name: str,
  parameters: tuple[str, ...],
  num_draws: int,
) -> list[Record]:
  law, (estimator, evaluations) = FAMILIES[family], ESTIMATORS[name]
  if 'measure' in name:
    # Two draws, and a pair of points for each of them and each parameter.
    evaluations = 2 + 4 * len(parameters)
  exact = {k: float(x) for k, x in _exact(family).items()}
  params = {k: law.params[k] for k in parameters}
  objective = _objective(law.make, dict(law.params), estimator)
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
    del point  # There is one.
    return estimator(key, make(**(fixed | params)), lambda z: jnp.exp(-(z**2)))

  return objective
