import functools

import jax
import numpy as np
import pytest
from scipy import integrate, stats

from vae_jax.lab import costs


@pytest.fixture(scope='module')
def records():
  return costs.compare(jax.random.key(0), 10_000)


@pytest.mark.parametrize('cost', costs.COSTS, ids=lambda cost: cost.name)
def test_closed_forms_are_the_integrals(cost):
  step = 1e-4

  def expectation(loc, log_scale):
    law = stats.norm(loc, np.exp(log_scale))
    f = lambda x: float(cost.f(k, x)) * law.pdf(x)
    return integrate.quad(f, -9, 11, epsabs=1e-11, limit=200)[0]

  for k in cost.sweep[1:3]:
    with jax.enable_x64(True):
      d_loc = expectation(1 + step, 0.0) - expectation(1 - step, 0.0)
      d_log_scale = expectation(1.0, step) - expectation(1.0, -step)
    exact = costs.exact_gradient(cost, k)
    np.testing.assert_allclose(exact['loc'], d_loc / (2 * step), atol=1e-5)
    np.testing.assert_allclose(
      exact['log_scale'], d_log_scale / (2 * step), atol=1e-5
    )


def test_every_estimator_is_unbiased_at_every_point(records):
  points = sum(len(cost.sweep) for cost in costs.COSTS)
  assert len(records) == 2 * points * len(costs.ESTIMATORS)
  # 182 comparisons at 6 standard errors: 4e-7 by chance.
  assert max(abs(r.z) for r in records) < 6


def variance(records, cost, k, estimator, parameter='loc'):
  (found,) = (
    r.variance
    for r in records
    if (r.setting, r.estimator, r.parameter)
    == (f'{cost}, k = {k}', estimator, parameter)
  )
  return found


def test_pathwise_wins_where_the_cost_is_smooth_and_loses_where_it_is_not(
  records,
):
  """Mohamed et al. 2020, section 3."""
  of = functools.partial(variance, records)
  for k in (-3, -1, 0, 1, 3):
    assert of('(x - k)^2', k, 'pathwise') < of('(x - k)^2', k, 'score function')
  for cost, k in (('exp(-k x^2)', 10), ('cos(k x)', 5)):
    assert of(cost, k, 'pathwise') > 5 * of(cost, k, 'score function')


def test_a_closed_form_is_met(records):
  # Of two draws: half of 4, and none where they mirror one another.
  np.testing.assert_allclose(
    variance(records, '(x - k)^2', 0, 'pathwise'), 2.0, rtol=0.1
  )
  assert variance(records, '(x - k)^2', 0, 'pathwise, antithetic') < 1e-10
