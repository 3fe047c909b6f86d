import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.helpers import assert_mean


def test_reparameterise_is_transform_of_noise(key):
  q = vj.Normal(jnp.array([1.0, -2.0]), jnp.array([0.1, 0.5]))
  with jax.debug_key_reuse(False):
    z = vj.reparameterise(key, q)
    np.testing.assert_array_equal(z, q.transform(q.noise(key)))


def test_reparameterise_many_has_a_key_a_draw(key):
  q = vj.Normal(jnp.zeros(3), jnp.zeros(3))
  z = vj.reparameterise_many(key, q, 4)
  assert z.shape == (4, 3)
  assert len(np.unique(np.asarray(z))) == 12


@pytest.mark.parametrize('num_samples', [0, -1])
def test_no_samples_is_refused(key, num_samples):
  with pytest.raises(ValueError, match='num_samples'):
    vj.reparameterise_many(key, vj.Normal(0.0, 0.0), num_samples)


def test_sample_is_never_differentiated(key):
  draw = lambda loc: vj.sample(key, vj.Normal(loc, 0.0))
  assert jax.grad(draw)(1.0) == 0.0


def test_a_distribution_is_a_pytree_of_its_parameters():
  q = vj.Normal(jnp.zeros(2), jnp.ones(2))
  assert len(jax.tree.leaves(q)) == 2
  stopped = jax.tree.map(jax.lax.stop_gradient, q)
  assert isinstance(stopped, vj.Normal)
  with pytest.raises(AttributeError):
    q.loc = jnp.ones(2)


def test_a_family_of_the_users_own_serves(key):
  @vj.distribution
  class Shifted(vj.Distribution):
    loc: jax.Array

    @property
    def shape(self):
      return jnp.shape(self.loc)

    def noise(self, key):
      return jax.random.uniform(key, self.shape)

    def transform(self, eps):
      return self.loc + eps

  draws = jax.jit(lambda loc: vj.reparameterise_many(key, Shifted(loc), 1000))
  assert_mean(draws(2.0), 2.5)


def test_log_prob_of_bfloat16_is_summed_in_float32():
  logits = jnp.full(784, 1.0, jnp.bfloat16)
  term = float(vj.Bernoulli(logits[0]).log_prob(jnp.ones((), jnp.bfloat16)))
  total = vj.Bernoulli(logits).log_prob(jnp.ones(784, jnp.bfloat16))
  assert total.dtype == jnp.float32
  np.testing.assert_allclose(total, 784 * term, rtol=1e-6)
