import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests import helpers
from vae_jax import evaluate
from vae_jax.ais import annealing

VAE = helpers.linear_gaussian(helpers.LOADINGS, helpers.BIAS, helpers.NOISE)
PARAMS = {'offset': jnp.array([0.5, -0.4])}
EVIDENCE = stats.multivariate_normal(
  helpers.BIAS, helpers.evidence_covariance()
)
DATA = EVIDENCE.rvs(size=40, random_state=0).astype(np.float32)


@functools.cache
def sandwich(num_temperatures):
  return vj.estimate_sandwich(
    jax.random.key(num_temperatures),
    VAE,
    PARAMS,
    num_examples=300,
    num_chains=4,
    num_temperatures=num_temperatures,
  )


def assert_within_standard_errors(log_p, ess, num_weights):
  """As the weights measure them; 41 comparisons: a false alarm in 1e7.

  The logarithm of a mean of weights is low by half its variance.
  """
  errors = np.sqrt((num_weights / ess - 1) / num_weights)
  gaps = log_p - EVIDENCE.logpdf(DATA)
  assert np.all(errors < 0.3)
  assert np.all(np.abs(gaps) < helpers.SIGMAS * errors + 0.01)
  helpers.assert_mean(gaps + errors**2 / 2, 0)


def test_5000_draws_meet_the_exact_marginal(key):
  curve = evaluate.estimate_nll_curve(
    key, VAE, PARAMS, DATA, num_samples=(5000,)
  )
  assert_within_standard_errors(
    -curve.at[5000].per_example, curve.effective_sample_size, 5000
  )


def test_annealing_meets_the_exact_marginal(key):
  found = vj.estimate_ais(
    key, VAE, PARAMS, DATA, num_chains=100, num_temperatures=20
  )
  log_p, _, ess = found.per_example
  assert_within_standard_errors(log_p, ess, 100)
  np.testing.assert_allclose(
    [found.mean, found.standard_error],
    [np.mean(log_p), np.std(log_p, ddof=1) / np.sqrt(40)],
    rtol=1e-5,
  )


@pytest.mark.parametrize('num_temperatures', [4, 60])
def test_the_sandwich_holds_the_exact_marginal(num_temperatures):
  """E[log p(x)] over simulated x is minus the entropy of the evidence.

  Four comparisons with the other test below: a false alarm in 1e8.
  """
  exact = -EVIDENCE.entropy()
  lower, upper, gap, error = sandwich(num_temperatures)
  assert lower.mean - helpers.SIGMAS * lower.standard_error < exact
  assert upper.mean + helpers.SIGMAS * upper.standard_error > exact
  gaps = upper.per_example.log_marginal - lower.per_example.log_marginal
  np.testing.assert_allclose(gap, np.mean(gaps), rtol=1e-4)
  np.testing.assert_allclose(error, np.std(gaps) / np.sqrt(299), rtol=1e-4)


def test_temperatures_tighten_the_sandwich():
  loose, tight = sandwich(4), sandwich(60)
  assert loose.gap > helpers.SIGMAS * loose.gap_standard_error
  assert tight.gap > -helpers.SIGMAS * tight.gap_standard_error
  assert tight.gap < 0.3 * loose.gap
  exact = -EVIDENCE.entropy()
  for bound in tight.lower, tight.upper:
    error = helpers.SIGMAS * bound.standard_error + tight.gap
    assert abs(bound.mean - exact) < error


def test_chunks_and_uint8_change_nothing(key, monkeypatch):
  """Five examples at once, and two at a time: the last one is padded."""
  data = np.abs(np.round(DATA[[0, 1, 2, 3, 0]]))
  seen = []
  options = {
    'num_chains': 2,
    'num_temperatures': 3,
    'num_leapfrog_steps': 2,
    # Of uint8, 2 * 0 - 1 would be 255.
    'initial': lambda params, x: VAE.encode(params, 2 * x - 1),
  }
  watch = lambda chunks: (seen.append(i) or i for i in chunks)
  with jax.debug_key_reuse(False):
    whole = vj.estimate_ais(key, VAE, PARAMS, data, **options)
    monkeypatch.setattr(annealing, '_CHUNK_FLOATS', 4 * 2 * 2)
    parts = vj.estimate_ais(
      key, VAE, PARAMS, np.uint8(data), progress=watch, **options
    )
  assert seen == [0, 2, 4]
  log_p = parts.per_example.log_marginal
  assert log_p.shape == (5,)
  # Equal examples have draws of their own.
  assert log_p[0] != log_p[4]
  close = functools.partial(np.testing.assert_allclose, rtol=1e-4)
  jax.tree.map(close, whole, parts)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'num_chains': 0}, 'num_chains is 0'),
    ({'num_temperatures': 1}, 'num_temperatures is 1'),
    ({'num_examples': 0}, 'num_examples is 0'),
  ],
)
def test_impossible_sandwiches_are_refused(options, message, key):
  options = {
    'num_examples': 2,
    'num_chains': 2,
    'num_temperatures': 4,
  } | options
  with pytest.raises(ValueError, match=message):
    vj.estimate_sandwich(key, VAE, PARAMS, **options)


def test_no_data_are_refused(key):
  with pytest.raises(ValueError, match='no example'):
    vj.estimate_ais(
      key, VAE, PARAMS, DATA[:0], num_chains=2, num_temperatures=4
    )
