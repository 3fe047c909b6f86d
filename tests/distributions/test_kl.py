import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.helpers import assert_mean

PAIRS = {
  'normal': (
    vj.Normal(jnp.array([0.5, -1.0]), jnp.array([-0.5, 0.3])),
    vj.Normal(jnp.array([0.0, 1.0]), jnp.array([0.2, -0.1])),
  ),
  'bernoulli': (
    vj.Bernoulli(jnp.array([0.5, -1.0])),
    vj.Bernoulli(jnp.array([-2.0, 1.0])),
  ),
}


@pytest.mark.parametrize('name', PAIRS)
def test_closed_form_is_the_mean_log_ratio(name, key):
  q, p = PAIRS[name]
  draws = jax.vmap(q.sample)(jax.random.split(key, 50_000))
  ratio = jax.vmap(lambda z: q.log_prob(z) - p.log_prob(z))(draws)
  assert_mean(ratio, float(vj.kl(q, p)))


@pytest.mark.parametrize('name', PAIRS)
def test_kl_of_a_distribution_with_itself_is_zero(name):
  q, _ = PAIRS[name]
  np.testing.assert_allclose(vj.kl(q, q), 0.0, atol=1e-6)


def test_kl_to_the_standard_normal_is_the_textbooks():
  q, _ = PAIRS['normal']
  mean, variance = np.asarray(q.loc), np.exp(2 * np.asarray(q.log_scale))
  exact = 0.5 * np.sum(mean**2 + variance - np.log(variance) - 1)
  p = vj.Normal(jnp.zeros(2), 0.0)
  np.testing.assert_allclose(vj.kl(q, p), exact, rtol=1e-6)


def test_a_pair_without_closed_form_is_named():
  with pytest.raises(
    TypeError, match=r"KL\(Normal \|\| Bernoulli\).*'entropy'"
  ):
    vj.kl(vj.Normal(0.0, 0.0), vj.Bernoulli(0.0))


def test_events_of_different_shape_are_refused():
  with pytest.raises(ValueError, match='shape'):
    vj.kl(vj.Normal(jnp.zeros(2), 0.0), vj.Normal(jnp.zeros(3), 0.0))
