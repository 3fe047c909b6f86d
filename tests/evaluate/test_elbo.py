import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests import helpers
from vae_jax.evaluate import (
  estimate_nll,
  evaluation_keys,
  make_evaluate_bound,
)
from vae_jax.runs import Config

MODEL = helpers.linear_gaussian(helpers.LOADINGS, helpers.BIAS, helpers.NOISE)
EXACT = {'offset': jnp.zeros(2)}
X = np.random.RandomState(0).normal(size=(30, 4)).astype(np.float32)


@pytest.mark.parametrize(
  ('options', 'metric'),
  [
    ({'objective': 'iwae', 'num_samples': 3}, 'iw_elbo'),
    (
      {'objective': 'iwae', 'num_samples': 3, 'estimator': 'adaptive'},
      'iw_elbo',
    ),
    (
      {'objective': 'miwae', 'num_samples': 2, 'num_groups': 2},
      'miw_elbo',
    ),
    ({'objective': 'renyi', 'num_samples': 3}, 'renyi_elbo'),
  ],
)
def test_every_weighted_bound_is_exact_for_the_exact_posterior(options, metric):
  evaluate_bound = make_evaluate_bound(MODEL, Config(**options).objective)
  found = evaluate_bound(evaluation_keys().nll, EXACT, X)
  p = stats.multivariate_normal(helpers.BIAS, helpers.evidence_covariance())
  assert list(found) == [metric]
  np.testing.assert_allclose(found[metric], p.logpdf(X).mean(), rtol=1e-5)


@pytest.mark.slow
def test_bound_of_k_samples_is_that_of_the_nll():
  """Both estimate the same expectation, each from draws of its own."""
  params, key = {'offset': jnp.full(2, 1.0)}, evaluation_keys().nll
  many = np.tile(X, (20, 1))
  options = Config(objective='iwae', num_samples=5).objective
  bound = make_evaluate_bound(MODEL, options)(key, params, many)['iw_elbo']
  nll = estimate_nll(jax.random.key(1), MODEL, params, many, num_samples=5)
  # The spread over draws is within that over examples.
  assert abs(bound + nll.mean) < 6 * np.sqrt(2) * nll.standard_error
  one = estimate_nll(jax.random.key(1), MODEL, params, many, num_samples=1)
  assert abs(bound + one.mean) > 6 * np.sqrt(2) * one.standard_error


def test_the_elbo_has_no_second_bound():
  assert make_evaluate_bound(MODEL, Config().objective)(None, None, X) == {}
