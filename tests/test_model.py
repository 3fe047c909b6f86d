import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj

SHAPE = (4, 4, 1)
CONFIG = vj.Config(latent_dim=3, hidden_sizes=(8, 6))


def test_a_vae_maps_x_to_q_and_z_to_p(key):
  vae = vj.make_vae(CONFIG, SHAPE)
  params = vae.init(key)
  q = vae.encode(params, jnp.ones(SHAPE))
  p = vae.decode(params, q.mean())
  assert isinstance(q, vj.Normal)
  assert q.shape == vae.prior(params).shape == (3,)
  assert isinstance(p, vj.Bernoulli)
  assert p.shape == SHAPE


def test_prior_is_the_standard_normal(key):
  prior = vj.make_vae(CONFIG, SHAPE).prior(None)
  np.testing.assert_array_equal(prior.loc, np.zeros(3))
  np.testing.assert_array_equal(prior.log_scale, np.zeros(3))


def test_decoder_mirrors_the_hidden_sizes(key):
  params = vj.make_vae(CONFIG, SHAPE).init(key)
  hidden = params['decoder']['_Hidden_0']
  assert hidden['Dense_0']['kernel'].shape == (3, 6)
  assert hidden['Dense_1']['kernel'].shape == (6, 8)


def test_decoder_starts_at_the_mean_pixel(key):
  mean = np.linspace(0, 1, 16).reshape(SHAPE)
  vae = vj.make_vae(CONFIG, SHAPE, data_mean=mean)
  p = vae.decode(vae.init(key), jnp.zeros(3))
  np.testing.assert_allclose(p.mean(), np.clip(mean, 0.001, 0.999), rtol=1e-4)


@pytest.mark.parametrize('likelihood', ['bernoulli', 'normal'])
def test_no_hidden_layers_make_linear_maps(likelihood, key):
  config = vj.Config(latent_dim=3, hidden_sizes=(), likelihood=likelihood)
  vae = vj.make_vae(config, (5,), data_mean=np.full(5, 0.3))
  params = vae.init(key)
  decoder = set(params['decoder']) - {'log_scale'}
  assert (decoder, set(params['encoder'])) == ({'output'}, {'loc', 'log_scale'})
  x = jnp.array([1.0, -2.0, 0.5, 0.0, 3.0])
  layer = params['encoder']['loc']
  np.testing.assert_allclose(
    vae.encode(params, x).loc, x @ layer['kernel'] + layer['bias'], rtol=1e-5
  )


def test_sigma_is_one_number_among_the_decoders(key):
  config = vj.Config(latent_dim=3, hidden_sizes=(8,), likelihood='normal')
  vae = vj.make_vae(config, SHAPE, data_mean=np.full(SHAPE, 0.3))
  params = vae.init(key)
  assert params['decoder']['log_scale'].shape == ()
  p = vae.decode(params, jnp.zeros(3))
  assert isinstance(p, vj.Normal)
  np.testing.assert_allclose(p.mean(), np.full(SHAPE, 0.3), rtol=1e-5)
  x = jax.random.uniform(jax.random.key(1), SHAPE)
  grads = jax.grad(lambda params: vae.decode(params, jnp.zeros(3)).log_prob(x))(
    params
  )
  # d log p / d log sigma = |x - mean|^2 / sigma^2 - D
  np.testing.assert_allclose(
    grads['decoder']['log_scale'], np.sum((x - 0.3) ** 2) - 16, rtol=1e-4
  )


def test_encoder_and_decoder_start_from_different_keys(key):
  params = vj.make_vae(vj.Config(hidden_sizes=(16,), latent_dim=16), SHAPE)
  params = params.init(key)
  first = lambda part: params[part]['_Hidden_0']['Dense_0']['kernel']
  assert not np.allclose(first('encoder'), first('decoder'))


def test_encoding_is_for_one_example_and_vmaps(key):
  vae = vj.make_vae(CONFIG, SHAPE)
  params_key, x_key = jax.random.split(key)
  params, x = vae.init(params_key), jax.random.uniform(x_key, (5, *SHAPE))
  batched = jax.vmap(vae.encode, (None, 0))(params, x)
  for i in range(5):
    one = vae.encode(params, x[i])
    np.testing.assert_allclose(batched.loc[i], one.loc, atol=1e-5)
