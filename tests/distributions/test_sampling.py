import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
import vae_jax.distributions as vd
from tests.helpers import assert_mean

Q = vd.Normal(jnp.array([1.0, -2.0, 0.0]), jnp.array([0.1, 0.5, -1.0]))


def test_reparameterise_equals_transform_of_noise(key):
  with jax.debug_key_reuse(False):
    z = vj.reparameterise(key, Q)
    np.testing.assert_array_equal(z, Q.transform(Q.noise(key)))


@pytest.mark.parametrize('draw_many', [vd.reparameterise_many, vd.sample_many])
def test_draws_have_independent_keys(draw_many, key):
  z = jax.jit(lambda key: draw_many(key, Q, 4))(key)
  assert z.shape == (4, 3)
  assert len(np.unique(np.asarray(z))) == 12


@pytest.mark.parametrize('draw_many', [vd.reparameterise_many, vd.sample_many])
def test_antithetic_draws_are_symmetric_about_the_mean(draw_many, key):
  draw = jax.jit(lambda key: draw_many(key, Q, 6, antithetic=True))
  z = np.asarray(draw(key))
  assert z.shape == (6, 3)
  np.testing.assert_allclose(
    z[:3] + z[3:], 2 * np.tile(Q.loc, (3, 1)), atol=1e-6
  )
  assert len(np.unique(z)) == 18


def test_antithetic_mean_is_unbiased_with_lower_variance(key):
  pair_key, plain_key = jax.random.split(key)
  q = vd.Exponential(0.3)
  mean_of_two = lambda antithetic: jax.jit(
    jax.vmap(
      lambda key: jnp.mean(
        vd.reparameterise_many(key, q, 2, antithetic=antithetic)
      )
    )
  )
  pairs = mean_of_two(True)(jax.random.split(pair_key, 20_000))
  plain = mean_of_two(False)(jax.random.split(plain_key, 20_000))
  assert_mean(pairs, np.exp(-0.3))
  assert np.var(pairs) < 0.5 * np.var(plain)


@pytest.mark.parametrize('draw_many', [vd.reparameterise_many, vd.sample_many])
@pytest.mark.parametrize('num_samples', [0, -1])
def test_zero_samples_are_refused(draw_many, num_samples, key):
  with pytest.raises(ValueError, match=f'num_samples is {num_samples}: must'):
    draw_many(key, Q, num_samples)


@pytest.mark.parametrize('draw_many', [vd.reparameterise_many, vd.sample_many])
def test_odd_number_of_antithetic_draws_is_refused(draw_many, key):
  with pytest.raises(ValueError, match='num_samples is 3: antithetic'):
    draw_many(key, Q, 3, antithetic=True)


@pytest.mark.parametrize('antithetic', [False, True])
def test_gradients_of_samples_are_zero(antithetic, key):
  one_key, many_key = jax.random.split(key)
  one = lambda loc: vd.sample(one_key, vd.Normal(loc, 0.0))
  assert jax.jit(jax.grad(one))(1.0) == 0.0
  many = lambda loc: jnp.sum(
    vd.sample_many(many_key, vd.Normal(loc, 0.0), 4, antithetic=antithetic)
  )
  assert jax.jit(jax.grad(many))(1.0) == 0.0


def test_antithetic_draws_are_differentiable(key):
  many = lambda q: jnp.mean(vd.reparameterise_many(key, q, 4, antithetic=True))
  slope = jax.jit(jax.grad(many))(Q)
  np.testing.assert_allclose(slope.loc, 1 / 3, rtol=1e-6)
  np.testing.assert_allclose(slope.log_scale, 0.0, atol=1e-6)


@pytest.mark.parametrize(
  'q',
  [
    vd.Bernoulli(jnp.zeros(3)),
    vd.Categorical(jnp.zeros((3, 2))),
    vd.Gamma(jnp.ones(3), 0.0),
  ],
)
def test_families_without_antithetic_noise_are_refused(q, key):
  draws = jax.eval_shape(lambda key: vd.sample_many(key, q, 5), key)
  assert draws.shape == (5, 3)
  name = type(q).__name__
  with pytest.raises(TypeError, match=f'{name} (is discrete|has no z = g)'):
    vd.sample_many(key, q, 4, antithetic=True)
