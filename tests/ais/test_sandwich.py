import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests import helpers
from vae_jax import evaluate
from vae_jax.ais import AisResult, sandwich as sandwiches

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
    num_leapfrog_steps=5,
  )


def assert_within_standard_errors(log_p, ess, num_weights):
  """Standard errors from the weights; 41 comparisons: a false alarm in 1e7.

  The logarithm of a mean of weights is low by half its variance.
  """
  errors = np.sqrt((num_weights / ess - 1) / num_weights)
  gaps = log_p - EVIDENCE.logpdf(DATA)
  assert np.all(errors < 0.3)
  assert np.all(np.abs(gaps) < helpers.SIGMAS * errors + 0.01)
  helpers.assert_mean(gaps + errors**2 / 2, 0)


def test_nll_of_5000_samples_equals_the_exact_marginal(key):
  curve = evaluate.estimate_nll_curve(
    key, VAE, PARAMS, DATA, num_samples=(5000,)
  )
  assert_within_standard_errors(
    -curve.at[5000].per_example, curve.effective_sample_size, 5000
  )


@pytest.mark.slow
@pytest.mark.parametrize('num_temperatures', [4, 60])
def test_sandwich_bounds_the_exact_marginal(num_temperatures):
  """E[log p(x)] over simulated x is minus the entropy of the marginal.

  Four comparisons with the other test below: a false alarm in 1e8.
  """
  exact = -EVIDENCE.entropy()
  lower, upper, gap = sandwich(num_temperatures)
  assert lower.mean - helpers.SIGMAS * lower.standard_error < exact
  assert upper.mean + helpers.SIGMAS * upper.standard_error > exact
  gaps = upper.per_example.log_marginal - lower.per_example.log_marginal
  np.testing.assert_allclose(gap.mean, np.mean(gaps), rtol=1e-4)
  error = np.std(gaps) / np.sqrt(299)
  np.testing.assert_allclose(gap.standard_error, error, rtol=1e-4)


@pytest.mark.slow
def test_more_temperatures_tighten_the_sandwich():
  loose, tight = sandwich(4), sandwich(60)
  assert loose.gap.mean > helpers.SIGMAS * loose.gap.standard_error
  assert tight.gap.mean > -helpers.SIGMAS * tight.gap.standard_error
  assert tight.gap.mean < 0.3 * loose.gap.mean
  exact = -EVIDENCE.entropy()
  for bound in tight.lower, tight.upper:
    error = helpers.SIGMAS * bound.standard_error + tight.gap.mean
    assert abs(bound.mean - exact) < error


def importance_sampling(key, p_0, log_joint, *, num_chains, **options):
  """Stands in for `ais`, which is compiled in many seconds."""
  z = vj.sample_many(key, p_0, num_chains)
  log_w = jax.vmap(lambda z: log_joint(z) - p_0.log_prob(z))(z)
  chains = jnp.float32(options['batch_size'])
  return AisResult(jax.nn.logsumexp(log_w), chains, jnp.sum(log_w))


def test_result_does_not_depend_on_chunks(key, monkeypatch):
  """Five examples at once, and two at a time: the last chunk is padded.

  Integer data and p_0 = q(z|x): for uint8, 2 * 0 - 1 would be 255.
  """
  encode = lambda params, x: VAE.encode(params, 2 * x - 1)
  run = functools.partial(
    vj.estimate_ais,
    key,
    VAE._replace(encode=encode),
    PARAMS,
    num_chains=2,
    initial='posterior',
  )
  data = np.abs(np.round(DATA[[0, 1, 2, 3, 0]]))
  seen = []
  watch = lambda chunks: (seen.append(i) or i for i in chunks)
  monkeypatch.setattr(sandwiches, 'ais', importance_sampling)
  with jax.debug_key_reuse(False):
    whole = run(data)
    monkeypatch.setattr(sandwiches, '_CHUNK_FLOATS', 4 * 2 * 2)
    parts = run(np.uint8(data), progress=watch)
  assert seen == [0, 2, 4]
  log_p = parts.per_example.log_marginal
  assert log_p.shape == (5,)
  # Equal examples have different keys.
  assert log_p[0] != log_p[4]
  assert set(parts.per_example.acceptance_rate) == {2}
  close = functools.partial(np.testing.assert_allclose, rtol=1e-4)
  jax.tree.map(close, whole, parts)
  np.testing.assert_allclose(
    [whole.mean, whole.standard_error],
    [np.mean(log_p), np.std(log_p, ddof=1) / np.sqrt(5)],
    rtol=1e-5,
  )


def test_posterior_as_initial_is_that_of_the_simulated_x(key, monkeypatch):
  def first_mean(key, p_0, log_joint, z, **options):
    result = AisResult(p_0.loc[0], log_joint(z), options['batch_size'])
    return result, result

  monkeypatch.setattr(sandwiches, 'bidirectional_ais', first_mean)
  found = vj.estimate_sandwich(
    key, VAE, PARAMS, num_examples=3, num_chains=2, initial='posterior'
  )
  assert len(set(found.lower.per_example.log_marginal)) == 3


def test_memory_limits_chains_and_examples(monkeypatch):
  monkeypatch.setattr(sandwiches, '_CHUNK_FLOATS', 100)
  assert sandwiches._chains_at_once(7, 10) == 7
  assert sandwiches._chains_at_once(70, 10) == 10
  assert sandwiches._chains_at_once(7, 1000) == 1
  # At most three examples: four chunks of ten examples, of equal size.
  assert sandwiches._examples_at_once(10, 3, 10, None) == 3
  assert sandwiches._examples_at_once(9, 2, 10, None) == 5


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'num_chains': 0}, 'num_chains is 0'),
    ({'num_temperatures': 1}, 'num_temperatures is 1'),
    ({'num_examples': 0}, 'num_examples is 0'),
    ({'initial': 'encoder'}, "initial: got 'encoder'"),
  ],
)
def test_invalid_options_raise(options, message, key):
  options = {
    'num_examples': 2,
    'num_chains': 2,
    'num_temperatures': 4,
  } | options
  with pytest.raises(ValueError, match=message):
    vj.estimate_sandwich(key, VAE, PARAMS, **options)


@pytest.mark.slow
def test_one_example_is_enough(key):
  found = vj.estimate_sandwich(
    key, VAE, PARAMS, num_examples=1, num_chains=2, num_temperatures=2
  )
  assert found.lower.per_example.log_marginal.shape == (1,)


def test_discrete_prior_raises(key):
  """Also if p_0 itself is continuous."""
  vae = VAE._replace(prior=lambda params: vj.Bernoulli(jnp.zeros(2)))
  with pytest.raises(TypeError, match='Bernoulli is discrete'):
    vj.estimate_ais(
      key,
      vae,
      PARAMS,
      DATA,
      num_chains=2,
      num_temperatures=4,
      initial='posterior',
    )


def test_no_data_raises(key):
  with pytest.raises(ValueError, match='no example'):
    vj.estimate_ais(
      key, VAE, PARAMS, DATA[:0], num_chains=2, num_temperatures=4
    )
