import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests.helpers import assert_mean
from vae_jax.distributions.bernoulli import softplus

PROBS = np.array([0.1, 0.5, 0.93])
P = vj.Bernoulli(jnp.log(jnp.array(PROBS / (1 - PROBS))))


def test_log_prob_and_entropy_are_scipys():
  x = np.array([1.0, 0.0, 1.0])
  exact = stats.bernoulli.logpmf(x, PROBS).sum()
  np.testing.assert_allclose(P.log_prob(jnp.array(x)), exact, rtol=1e-5)
  exact = stats.bernoulli.entropy(PROBS).sum()
  np.testing.assert_allclose(P.entropy(), exact, rtol=1e-5)


def test_draws_have_the_mean(key):
  draws = jax.vmap(P.sample)(jax.random.split(key, 20_000))
  assert set(np.unique(draws)) == {0.0, 1.0}
  assert_mean(draws, PROBS)
  np.testing.assert_allclose(P.mean(), PROBS, rtol=1e-6)


@pytest.mark.parametrize('logit', [-1e4, -90.0, 0.0, 90.0, 1e4])
@pytest.mark.parametrize('x', [0.0, 1.0])
def test_value_and_gradient_are_exact_at_any_logit(logit, x):
  log_prob = lambda logit: vj.Bernoulli(logit).log_prob(jnp.float32(x))
  exact = -np.logaddexp(0, -logit if x else logit)
  # float32 flushes what is smaller to 0.
  tiny = float(np.finfo(np.float32).tiny)
  np.testing.assert_allclose(log_prob(logit), exact, rtol=1e-6, atol=tiny)
  slope = x - 1 / (1 + np.exp(-np.longdouble(logit)))
  np.testing.assert_allclose(
    jax.grad(log_prob)(logit), float(slope), rtol=1e-6, atol=tiny
  )


def test_softplus_is_jaxs():
  x = jnp.linspace(-120.0, 120.0, 1001)
  np.testing.assert_allclose(
    softplus(x), jax.nn.softplus(x), rtol=1e-6, atol=1e-37
  )
  np.testing.assert_allclose(
    jax.vmap(jax.grad(softplus))(x), jax.nn.sigmoid(x), rtol=1e-6, atol=1e-37
  )


def test_reparameterising_is_refused_rather_than_silently_zero(key):
  with pytest.raises(TypeError, match='Bernoulli is discrete'):
    vj.reparameterise(key, P)
