import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests import helpers
from vae_jax import evaluate
from vae_jax.evaluate import gaps
from vae_jax.objectives import vae_log_joint

# A posterior with dependent coordinates: the family of q costs something.
WEIGHTS = np.array([[1.0, 0.8], [0.5, -1.0], [1.0, 1.0]])
NOISE = 0.7
PRECISION = np.eye(2) + WEIGHTS.T @ WEIGHTS / NOISE**2
DATA = np.random.RandomState(1).normal(size=(20, 3)).astype(np.float32)


def make(offset):
  def encode(params, x):
    assert jnp.issubdtype(x.dtype, jnp.floating)
    mean = jnp.asarray(np.linalg.inv(PRECISION) @ WEIGHTS.T / NOISE**2) @ x
    # The best diagonal q has the posterior's mean and its precisions.
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
  """log p(x), and the two gaps, the same for every x but the first."""
  covariance = WEIGHTS @ WEIGHTS.T + NOISE**2 * np.eye(3)
  log_p = stats.multivariate_normal(np.zeros(3), covariance).logpdf(DATA)
  best = -0.5 * np.log(np.diag(PRECISION))
  # KL(N(m + d, diag s^2) || N(m, PRECISION^-1)).
  divergence = lambda d, log_s: (
    0.5 * (np.diag(PRECISION) @ np.exp(2 * log_s) + d @ PRECISION @ d - 2)
    - 0.5 * np.linalg.slogdet(PRECISION)[1]
    - log_s.sum()
  )
  family = divergence(np.zeros(2), best)
  encoder = divergence(np.full(2, offset), best + 0.3) - family
  return log_p.mean(), family, encoder


@pytest.fixture
def fewer_draws(monkeypatch):
  monkeypatch.setattr(gaps, '_EXAMPLES', 8)


def test_the_gap_is_split_into_family_and_encoder(fewer_draws, key):
  found = evaluate.measure_gaps(key, make(0.2), {}, DATA, num_steps=300)
  log_p, family, encoder = exact(0.2)
  # The draws' error on top of what the 300 steps leave, which is 0.01.
  close = lambda pair, truth, slack: (
    abs(pair[0] - truth) < (helpers.SIGMAS * pair[1] + slack)
  )
  # Over the examples log p(x) itself varies: its estimate is held to it.
  assert abs(found.log_marginal[0] - log_p) < 0.02
  assert close(found.approximation, family, 0.01)
  assert close(found.amortisation, encoder, 0.01)
  assert family > 0.05
  assert encoder > 0.05
  np.testing.assert_allclose(
    found.log_marginal[0] - found.elbo[0],
    found.approximation[0] + found.amortisation[0],
    rtol=1e-5,
  )


def test_the_climb_ends_at_the_best_q(key):
  """A rate that stays ends twice as far off, noise that stays ten times."""
  vae = make(0.2)

  def error(key, x):
    q, log_joint = vae.encode({}, x), vae_log_joint(vae, {}, x)
    best = gaps._climb(key, q, log_joint, 300)
    return best.loc - q.loc + 0.2, best.log_scale - q.log_scale + 0.3

  errors = jax.jit(jax.vmap(error))(jax.random.split(key, 20), DATA)
  assert np.all(np.sqrt(np.mean(np.square(errors), axis=(1, 2))) < 0.0095)


def test_the_same_q_has_no_amortisation_gap(monkeypatch, fewer_draws, key):
  """And no noise: that of the two bounds is one. Whole numbers serve."""
  monkeypatch.setattr(gaps, '_climb', lambda key, q, log_joint, n: q)
  data = np.abs(np.round(DATA)).astype(np.uint8)
  found = evaluate.measure_gaps(key, make(0.2), {}, data)
  assert found.amortisation == (0, 0)


def test_the_posterior_has_no_approximation_gap(monkeypatch, fewer_draws, key):
  """Every weight under q* is p(x) then, whatever the encoder's q."""
  scale = jnp.asarray(np.linalg.cholesky(np.linalg.inv(PRECISION)))
  exact_q = lambda q: vj.MultivariateNormal(q.loc - 0.2, scale)
  monkeypatch.setattr(gaps, '_climb', lambda key, q, log_joint, n: exact_q(q))
  found = evaluate.measure_gaps(key, make(0.2), {}, DATA)
  np.testing.assert_allclose(found.log_marginal[0], exact(0.2)[0], rtol=1e-5)
  np.testing.assert_allclose(found.approximation, (0, 0), atol=1e-4)


def test_log_p_is_of_5000_draws(key):
  """log w = z, z ~ N(0, 1): Var[w] = e - 1 in units of E[w]^2."""
  q = vj.Normal(jnp.zeros(1), 0.0)
  log_joint = lambda z: q.log_prob(z) + z[0]
  found = jax.vmap(lambda key: gaps._log_marginal(key, q, log_joint))(
    jax.random.split(key, 200)
  )
  variance = (np.e - 1) / 5000
  # The deviation of 200 numbers is off by a twentieth of it.
  np.testing.assert_allclose(np.std(found), variance**0.5, rtol=0.3)
  helpers.assert_mean(found + variance / 2, 0.5)


@pytest.mark.parametrize(
  ('data', 'num_steps', 'message'),
  [(DATA[:0], 3, 'no example'), (DATA, 0, 'num_steps is 0')],
)
def test_what_cannot_be_measured_is_refused(data, num_steps, message, key):
  with pytest.raises(ValueError, match=message):
    evaluate.measure_gaps(key, make(0.0), {}, data, num_steps=num_steps)
