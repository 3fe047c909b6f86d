import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests.helpers import assert_mean
from vae_jax.distributions._numerics import softplus

PROBS = np.array([0.1, 0.5, 0.93])
P = vj.Bernoulli(jnp.log(jnp.array(PROBS / (1 - PROBS))))


def test_log_prob_entropy_and_moments_match_scipy():
  x = np.array([1.0, 0.0, 1.0])
  exact = stats.bernoulli.logpmf(x, PROBS).sum()
  np.testing.assert_allclose(P.log_prob(jnp.array(x)), exact, rtol=1e-5)
  exact = stats.bernoulli.entropy(PROBS).sum()
  np.testing.assert_allclose(P.entropy(), exact, rtol=1e-5)
  np.testing.assert_allclose(P.mean(), PROBS, rtol=1e-6)
  np.testing.assert_allclose(P.variance(), PROBS * (1 - PROBS), rtol=1e-5)


def test_draws_have_the_mean(key):
  draws = jax.jit(jax.vmap(lambda key: P.sample(key)))(
    jax.random.split(key, 20_000)
  )
  assert set(np.unique(draws)) == {0.0, 1.0}
  assert_mean(draws, PROBS)


@pytest.mark.parametrize('shape', [(), (2, 3, 1)])
def test_event_may_have_any_shape(shape):
  q = vj.Bernoulli(np.zeros(shape, np.float32))
  assert q.shape == shape
  assert jax.eval_shape(q.sample, jax.random.key(0)).shape == shape
  both = jax.jit(lambda q, x: (q.log_prob(x), q.entropy()))
  value, entropy = both(q, np.ones(shape, np.float32))
  assert value.shape == entropy.shape == ()
  np.testing.assert_allclose(value, -np.log(2) * np.prod(shape), rtol=1e-6)
  np.testing.assert_allclose(entropy, -value, rtol=1e-6)


_value_and_slope = jax.jit(
  jax.value_and_grad(lambda logit, x: vj.Bernoulli(logit).log_prob(x))
)


@pytest.mark.parametrize('logit', [-1e4, -90.0, 0.0, 90.0, 1e4])
@pytest.mark.parametrize('x', [0.0, 1.0])
def test_value_and_gradient_are_exact_at_any_logit(logit, x):
  value, slope = _value_and_slope(logit, jnp.float32(x))
  exact = -np.logaddexp(0, -logit if x else logit)
  # float32 flushes smaller numbers to 0.
  tiny = float(np.finfo(np.float32).tiny)
  np.testing.assert_allclose(value, exact, rtol=1e-6, atol=tiny)
  exact = float(x - 1 / (1 + np.exp(-np.longdouble(logit))))
  np.testing.assert_allclose(slope, exact, rtol=1e-6, atol=tiny)


def test_entropy_and_its_gradient_vanish_at_a_large_logit():
  entropy = lambda logit: vj.Bernoulli(logit).entropy()
  both = jax.jit(jax.vmap(jax.value_and_grad(entropy)))
  value, slope = both(jnp.array([-1e4, -90.0, 90.0, 1e4]))
  np.testing.assert_allclose(value, 0.0, atol=1e-30)
  np.testing.assert_allclose(slope, 0.0, atol=1e-30)


def test_softplus_matches_jax():
  x = jnp.linspace(-120.0, 120.0, 1001)
  np.testing.assert_allclose(
    softplus(x), jax.nn.softplus(x), rtol=1e-6, atol=1e-37
  )
  np.testing.assert_allclose(
    jax.jit(jax.vmap(jax.grad(softplus)))(x),
    jax.nn.sigmoid(x),
    rtol=1e-6,
    atol=1e-37,
  )


def test_event_of_another_shape_is_refused():
  with pytest.raises(ValueError, match=r'x has shape \(3, 1\)'):
    P.log_prob(jnp.ones((3, 1)))
