import jax
import numpy as np
import pytest

from experiments.lab import costs
from experiments.lab.records import table
from experiments.lab.scipy_references import SCIPY, expectation
from tests.helpers import SIGMAS
from vae_jax.distributions import Normal

# Its fixture trains or draws for seconds.
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def records():
  """Returns every estimator on one cost, and two estimators on all costs.

  Every pair of cost and estimator is a program of its own.
  """
  square, *others = costs.COSTS
  two = ('pathwise', 'score function')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(costs, 'COSTS', [square._replace(sweep=(-3, 0))])
    records = costs.compare(jax.random.key(0), 10_000)
    sharpest = [cost._replace(sweep=cost.sweep[-2:]) for cost in others]
    patch.setattr(costs, 'COSTS', sharpest)
    few = {name: costs.ESTIMATORS[name] for name in two}
    patch.setattr(costs, 'ESTIMATORS', few)
    return records + costs.compare(jax.random.key(1), 10_000)


@pytest.mark.parametrize('cost', costs.COSTS, ids=lambda cost: cost.name)
def test_closed_forms_equal_quadrature(cost):
  step = 1e-4

  def mean(loc, log_scale):
    with jax.enable_x64(True):
      return expectation(
        SCIPY[Normal](loc, log_scale), lambda x: cost.f(k, jax.numpy.asarray(x))
      )

  for k in cost.sweep:
    d_loc = mean(1 + step, 0.0) - mean(1 - step, 0.0)
    d_log_scale = mean(1.0, step) - mean(1.0, -step)
    exact = costs.exact_gradient(cost, k)
    np.testing.assert_allclose(exact['loc'], d_loc / (2 * step), atol=1e-6)
    np.testing.assert_allclose(
      exact['log_scale'], d_log_scale / (2 * step), atol=1e-6
    )


def test_every_estimator_is_unbiased_at_every_point(records):
  assert len(records) == 2 * (2 * len(costs.ESTIMATORS) + 2 * 2 * 2)
  # 44 comparisons at 6 standard errors: 1e-7 by chance.
  assert max(abs(r.z) for r in records) < SIGMAS


def test_records_are_sorted_by_point_and_parameter(records):
  first = [(r.setting, r.parameter) for r in records[: len(costs.ESTIMATORS)]]
  assert set(first) == {('(x - k)^2, k = -3', 'loc')}
  assert len(table(records).splitlines()) == len(records) + 2


def variance(records, cost, k, estimator, parameter='loc'):
  (found,) = (
    r.variance
    for r in records
    if (r.setting, r.estimator, r.parameter)
    == (f'{cost}, k = {k}', estimator, parameter)
  )
  return found


def test_pathwise_has_lower_variance_for_smooth_costs_only(records):
  """Mohamed et al. 2020, section 3."""
  of = lambda *point: variance(records, *point)
  for k in (-3, 0):
    assert of('(x - k)^2', k, 'pathwise') < of('(x - k)^2', k, 'score function')
  for cost, k in (('exp(-k x^2)', 10), ('cos(k x)', 5)):
    assert of(cost, k, 'pathwise') > 5 * of(cost, k, 'score function')
  # The variance of one draw is 4; an antithetic pair has zero variance.
  np.testing.assert_allclose(of('(x - k)^2', 0, 'pathwise'), 2.0, rtol=0.1)
  assert of('(x - k)^2', 0, 'pathwise, antithetic') < 1e-10
  # The second-order expansion is exact: the control variate is the cost.
  for k in (-3, 0):
    assert of('(x - k)^2', k, 'score, delta') < 1e-6
  coupled = of('(x - k)^2', 0, 'measure-valued, coupled')
  np.testing.assert_allclose(coupled, 8 / np.pi - 2, rtol=0.1)
