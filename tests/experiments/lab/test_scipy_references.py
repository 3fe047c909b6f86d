import math

import numpy as np
import pytest
from scipy import stats

from experiments.lab.scipy_references import (
  FAMILIES,
  SCIPY,
  exact_gradient,
  expectation,
)
from vae_jax import distributions


def test_every_pathwise_family_has_a_reference():
  kinds = {
    name
    for name in distributions.__all__
    if isinstance(kind := getattr(distributions, name), type)
    and issubclass(kind, distributions.Distribution)
    and kind.pathwise_parameters is None
  }
  # Abstract classes, products of distributions, and families that scipy does
  # not have.
  others = {'Distribution', 'LocationScale', 'Chain', 'Masked', 'Transformed'}
  others |= {'LowRankNormal'}  # Has the covariance of a MultivariateNormal.
  others |= {'RelaxedBernoulli', 'RelaxedCategorical', 'ContinuousBernoulli'}
  assert kinds - others == set(FAMILIES)
  names = {make.__name__ for make in SCIPY}
  assert names == set(FAMILIES) - {'MultivariateNormal'}


@pytest.mark.quick('Normal', 'Weibull', 'Cauchy', 'Uniform')
@pytest.mark.parametrize('name', [make.__name__ for make in SCIPY])
def test_log_density_equals_that_of_the_family(name):
  make, params = FAMILIES[name]
  reference = SCIPY[make](**params)
  q = make(**{k: np.float32(v) for k, v in params.items()})
  for u in (0.2, 0.7):
    z = reference.ppf(u)
    np.testing.assert_allclose(
      q.log_prob(np.float32(z)), reference.logpdf(z), rtol=1e-4, atol=1e-5
    )


def test_expectation_of_smooth_and_heavy_tailed_distributions():
  for q, mean in ((stats.gamma(1.7, scale=0.6), 1.02), (stats.t(3, 0.4), 0.4)):
    assert expectation(q, lambda z: z) == pytest.approx(mean, abs=1e-6)
  # A finite result although f overflows in the tail of the Cauchy.
  assert 0 < expectation(stats.cauchy(), lambda z: np.exp(-(z**2))) < 1


def test_exact_gradients_equal_closed_forms():
  gradient = exact_gradient(FAMILIES['Normal'])
  m, s2 = 0.4, math.exp(-0.4)
  mean = math.exp(-(m**2) / (1 + 2 * s2)) / math.sqrt(1 + 2 * s2)
  slope = -2 * m / (1 + 2 * s2) * mean
  spread = 2 * s2 / (1 + 2 * s2) * mean * (2 * m**2 / (1 + 2 * s2) - 1)
  np.testing.assert_allclose(gradient['loc'], slope, rtol=1e-6)
  np.testing.assert_allclose(gradient['log_scale'], spread, rtol=1e-6)

  gradient = exact_gradient(FAMILIES['Uniform'])
  mean = math.sqrt(math.pi) / 4 * (math.erf(1.5) + math.erf(0.5))
  ends = math.exp(-2.25), math.exp(-0.25)
  np.testing.assert_allclose(gradient['high'], (ends[0] - mean) / 2, rtol=1e-6)
  np.testing.assert_allclose(gradient['low'], (mean - ends[1]) / 2, rtol=1e-6)

  family = FAMILIES['MultivariateNormal']
  wide = {'loc': np.array([m]), 'scale_tril': np.sqrt([[s2]])}
  gradient = exact_gradient(family._replace(params=wide))
  np.testing.assert_allclose(gradient['loc'], [slope], rtol=1e-6)
