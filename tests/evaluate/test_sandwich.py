import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

import vae_jax as vj
from tests import helpers

VAE = helpers.linear_gaussian(helpers.LOADINGS, helpers.BIAS, helpers.NOISE)
PARAMS = {'offset': jnp.array([0.5, -0.4])}
EVIDENCE = stats.multivariate_normal(
  helpers.BIAS, helpers.evidence_covariance()
)
DATA = EVIDENCE.rvs(size=40, random_state=0).astype(np.float32)


def sandwich(key, num_temperatures, **options):
  options = {'num_examples': 300, 'num_chains': 4} | options
  return vj.estimate_sandwich(
    key, VAE, PARAMS, num_temperatures=num_temperatures, **options
  )


def test_the_lower_bound_meets_the_exact_marginal_and_the_nll(key):
  ais_key, nll_key = jax.random.split(key)
  found = vj.estimate_ais(
    ais_key, VAE, PARAMS, DATA, num_chains=100, num_temperatures=20
  )
  exact = EVIDENCE.logpdf(DATA)
  gaps = found.per_example.log_marginal - exact
  # Of log of the mean of 100 weights, to first order.
  ess = found.per_example.effective_sample_size
  errors = np.sqrt((100 / ess - 1) / 100)
  assert np.all(errors < 0.3)
  assert np.all(np.abs(gaps) < helpers.SIGMAS * errors + 0.05)
  helpers.assert_mean(gaps + errors**2 / 2, 0)
  nll = vj.estimate_nll(nll_key, VAE, PARAMS, DATA, num_samples=1000)
  helpers.assert_mean(found.per_example.log_marginal + nll.per_example, 0)
  np.testing.assert_allclose(
    [found.mean, found.standard_error],
    [np.mean(exact + gaps), np.std(exact + gaps, ddof=1) / np.sqrt(40)],
    rtol=1e-5,
  )


def test_the_sandwich_holds_the_exact_marginal_and_tightens(key):
  """E[log p(x)] over simulated x is minus the entropy of the evidence."""
  exact = -EVIDENCE.entropy()
  loose_key, tight_key = jax.random.split(key)
  loose, tight = sandwich(loose_key, 4), sandwich(tight_key, 40)
  error = helpers.SIGMAS * loose.gap_standard_error
  assert loose.gap > error
  assert (
    loose.gap - error > tight.gap + helpers.SIGMAS * tight.gap_standard_error
  )
  assert abs(tight.gap) < 0.15
  for bounds in (loose, tight):
    assert bounds.lower.mean - 6 * bounds.lower.standard_error < exact
    assert bounds.upper.mean + 6 * bounds.upper.standard_error > exact
    np.testing.assert_allclose(
      bounds.gap, bounds.upper.mean - bounds.lower.mean, atol=1e-5
    )
  assert abs(tight.lower.mean - exact) < 6 * tight.lower.standard_error + 0.1
  assert abs(tight.upper.mean - exact) < 6 * tight.upper.standard_error + 0.1
