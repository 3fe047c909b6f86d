import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests import helpers
from vae_jax import evaluate
from vae_jax.evaluate import gaps

# Dependent posterior dimensions: a diagonal q has an approximation gap.
WEIGHTS = np.array([[1.0, 0.8], [0.5, -1.0], [1.0, 1.0]])
NOISE = 0.7
PRECISION = np.eye(2) + WEIGHTS.T @ WEIGHTS / NOISE**2
DATA = np.random.RandomState(1).normal(size=(20, 3)).astype(np.float32)


def make(offset):
  def encode(params, x):
    assert jnp.issubdtype(x.dtype, jnp.floating)
    mean = jnp.asarray(np.linalg.inv(PRECISION) @ WEIGHTS.T / NOISE**2) @ x
    # The best diagonal q has the posterior's mean and precisions.
    best = jnp.asarray(-0.5 * np.log(np.diag(PRECISION)))
    return vj.Normal(mean + offset, best + 0.3)

  return vj.VAE(
    init=lambda key: {},
    encode=encode,
    decode=lambda params, z: vj.Normal(
      jnp.asarray(WEIGHTS) @ z, jnp.full(3, np.log(NOISE))
    ),
    prior=lambda params: vj.Normal(jnp.zeros(2), jnp.zeros(2)),
  )


def exact(offset):
  """Returns the mean log p(x), and both gaps, which are equal for all x."""
  covariance = WEIGHTS @ WEIGHTS.T + NOISE**2 * np.eye(3)
  log_p = stats.multivariate_normal(np.zeros(3), covariance).logpdf(DATA)
  best = -0.5 * np.log(np.diag(PRECISION))
  # KL(N(m + d, diag s^2) || N(m, PRECISION^-1)).
  divergence = lambda d, log_s: (
    0.5 * (np.diag(PRECISION) @ np.exp(2 * log_s) + d @ PRECISION @ d - 2)
    - 0.5 * np.linalg.slogdet(PRECISION)[1]
    - log_s.sum()
  )
  approximation = divergence(np.zeros(2), best)
  amortisation = divergence(np.full(2, offset), best + 0.3) - approximation
  return log_p.mean(), approximation, amortisation


@pytest.fixture
def small_chunks(monkeypatch):
  monkeypatch.setattr(gaps, '_EXAMPLES', 8)


def test_gaps_equal_the_exact_gaps(small_chunks, key):
  found = evaluate.measure_gaps(key, make(0.2), {}, DATA, num_steps=300)
  log_p, approximation, amortisation = exact(0.2)
  # Sampling error, plus the optimisation error after 300 steps, below 0.01.
  close = lambda estimate, truth: (
    abs(estimate.mean - truth) < helpers.SIGMAS * estimate.standard_error + 0.01
  )
  # The error of log p(x) for given x; its standard error is over examples.
  assert abs(found.log_marginal.mean - log_p) < 0.02
  assert close(found.approximation, approximation)
  assert close(found.amortisation, amortisation)
  assert approximation > 0.05
  assert amortisation > 0.05
  np.testing.assert_allclose(
    found.log_marginal.mean - found.elbo.mean,
    found.approximation.mean + found.amortisation.mean,
    rtol=1e-5,
  )


def test_fit_posterior_converges_to_the_best_q(key):
  """A constant learning rate ends twice as far, common noise ten times."""
  vae = make(0.2)

  def error(key, x):
    inference = vae.condition({}, x)
    q = inference.posterior
    best = gaps.fit_posterior(key, q, inference.log_joint, 300)
    return best.loc - q.loc + 0.2, best.log_scale - q.log_scale + 0.3

  errors = jax.jit(jax.vmap(error))(jax.random.split(key, 20), DATA)
  assert np.all(np.sqrt(np.mean(np.square(errors), axis=(1, 2))) < 0.0095)


def test_equal_posteriors_have_no_amortisation_gap(monkeypatch, key):
  """Exactly 0, since both bounds use the same noise. Integer data."""
  monkeypatch.setattr(gaps, 'fit_posterior', lambda key, q, log_joint, n: q)
  monkeypatch.setattr(gaps, '_LOG_P', 500)
  data = np.abs(np.round(DATA)).astype(np.uint8)
  found = evaluate.measure_gaps(key, make(0.2), {}, data)
  assert found.amortisation == (0, 0)


def test_exact_posterior_has_no_approximation_gap(monkeypatch, key):
  """Every weight under q* is then p(x), for any q of the encoder."""
  scale = jnp.asarray(np.linalg.cholesky(np.linalg.inv(PRECISION)))
  exact_q = lambda q: vj.MultivariateNormal(q.loc - 0.2, scale)
  monkeypatch.setattr(
    gaps, 'fit_posterior', lambda key, q, log_joint, n: exact_q(q)
  )
  monkeypatch.setattr(gaps, '_LOG_P', 500)
  found = evaluate.measure_gaps(key, make(0.2), {}, DATA)
  np.testing.assert_allclose(found.log_marginal.mean, exact(0.2)[0], rtol=1e-5)
  np.testing.assert_allclose(found.approximation, (0, 0), atol=1e-4)


def test_log_marginal_uses_5000_samples(key):
  """log w = z, z ~ N(0, 1): Var[w] = e - 1 in units of E[w]^2."""
  q = vj.Normal(jnp.zeros(1), 0.0)
  log_joint = lambda z: q.log_prob(z) + z[0]
  many = jax.jit(jax.vmap(lambda key: gaps._log_marginal(key, q, log_joint)))
  found = many(jax.random.split(key, 200))
  variance = (np.e - 1) / 5000
  # The standard deviation of 200 values has a relative error of 0.05.
  np.testing.assert_allclose(np.std(found), variance**0.5, rtol=0.3)
  helpers.assert_mean(found + variance / 2, 0.5)


@pytest.mark.parametrize(
  ('data', 'num_steps', 'message'),
  [(DATA[:0], 3, 'no example'), (DATA, 0, 'num_steps is 0')],
)
def test_invalid_arguments_raise(data, num_steps, message, key):
  with pytest.raises(ValueError, match=message):
    evaluate.measure_gaps(key, make(0.0), {}, data, num_steps=num_steps)
