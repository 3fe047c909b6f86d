import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests.helpers import assert_mean

LOC = np.array([0.0, 1.0, -3.0])
SCALE = np.array([1.0, 0.1, 5.0])
Q = vj.Normal(jnp.array(LOC, jnp.float32), jnp.log(jnp.array(SCALE)))


def test_log_prob_and_entropy_are_scipys():
  z = np.array([0.5, 1.2, 2.0])
  exact = stats.norm.logpdf(z, LOC, SCALE).sum()
  np.testing.assert_allclose(Q.log_prob(jnp.array(z)), exact, rtol=1e-5)
  exact = stats.norm.entropy(LOC, SCALE).sum()
  np.testing.assert_allclose(Q.entropy(), exact, rtol=1e-6)


def test_event_may_have_any_shape():
  for shape in [(), (4,), (2, 3, 1)]:
    q = vj.Normal(jnp.zeros(shape), 0.0)
    assert q.shape == shape
    assert q.noise(jax.random.key(0)).shape == shape
    z = jnp.zeros(shape)
    assert q.log_prob(z).shape == q.entropy().shape == ()
    count = np.prod(shape)
    np.testing.assert_allclose(q.log_prob(z), -0.9189385 * count, rtol=1e-6)
    np.testing.assert_allclose(q.entropy(), 1.4189385 * count, rtol=1e-6)
    assert q.mean().shape == shape


def test_inverse_undoes_transform(key):
  eps = Q.noise(key)
  np.testing.assert_allclose(Q.inverse(Q.transform(eps)), eps, atol=1e-4)


def test_log_prob_is_the_change_of_variables(key):
  z = Q.transform(Q.noise(key))
  jacobian = jax.jacfwd(Q.transform)(Q.inverse(z))
  base = stats.norm.logpdf(np.asarray(Q.inverse(z))).sum()
  exact = base - np.linalg.slogdet(np.asarray(jacobian))[1]
  np.testing.assert_allclose(Q.log_prob(z), exact, rtol=1e-5)


def test_draws_have_the_mean_and_variance(key):
  draws = jax.vmap(vj.reparameterise, (0, None))(
    jax.random.split(key, 20_000), Q
  )
  assert_mean(draws, LOC)
  assert_mean((np.asarray(draws) - LOC) ** 2, SCALE**2)


@pytest.mark.parametrize('log_scale', [-100.0, -30.0, 30.0])
def test_entropy_and_kl_are_finite_at_extreme_scales(log_scale):
  value = lambda s: vj.Normal(0.0, s).entropy()
  np.testing.assert_allclose(value(log_scale), log_scale + 1.4189385, rtol=1e-6)
  assert jax.grad(value)(log_scale) == 1.0
  gap = lambda s: vj.kl(vj.Normal(0.0, s), vj.Normal(0.0, 0.0))
  assert np.isfinite(gap(log_scale))
  assert np.isfinite(jax.grad(gap)(log_scale))


def test_an_event_of_another_shape_is_named():
  with pytest.raises(ValueError, match=r'z has shape \(2,\)'):
    Q.log_prob(jnp.zeros(2))
