import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax import config, networks

ENCODER = {
  'hidden_sizes': (7, 5),
  'outputs': {'loc': (3,), 'scale_tril': (3, 3)},
  'activation': jnp.tanh,
}
DECODER = {'hidden_sizes': (7, 5), 'latent_dim': 3, 'activation': jnp.tanh}


def test_encoder_and_decoder_have_the_shapes_asked_for(key):
  init, apply = networks.make_encoder((4, 4, 1), **ENCODER)
  params = init(key)
  outputs = apply(params, jnp.ones((4, 4, 1)))
  assert jax.tree.map(jnp.shape, outputs) == ENCODER['outputs']
  kernels = [x.shape for x in jax.tree.leaves(params) if x.ndim == 2]
  assert sorted(kernels) == [(5, 3), (5, 9), (7, 5), (16, 7)]

  init, apply = networks.make_decoder((4, 4, 1), **DECODER)
  assert apply(init(key), jnp.ones(3)).shape == (4, 4, 1)


def test_weights_are_glorot_uniform_and_biases_zero(key):
  options = ENCODER | {'hidden_sizes': (300,)}
  init, _ = networks.make_encoder((20, 20, 1), **options)
  layer = init(key)['_Hidden_0']['Dense_0']
  bound = np.sqrt(6 / (400 + 300))
  assert bound * 0.999 < np.abs(layer['kernel']).max() <= bound
  assert not layer['bias'].any()


def test_decoder_starts_at_the_output_bias(key):
  bias = np.arange(16.0).reshape(4, 4, 1)
  init, apply = networks.make_decoder((4, 4, 1), output_bias=bias, **DECODER)
  np.testing.assert_allclose(apply(init(key), jnp.zeros(3)), bias)


def test_no_hidden_layers_make_a_linear_map(key):
  options = DECODER | {'hidden_sizes': ()}
  init, apply = networks.make_decoder((2, 2), output_bias=1.0, **options)
  params = init(key)
  assert set(params) == {'output'}
  z = jnp.array([1.0, -2.0, 0.5])
  exact = z @ params['output']['kernel'] + 1
  np.testing.assert_allclose(apply(params, z).ravel(), exact, rtol=1e-5)


@pytest.mark.parametrize('name', networks.ACTIVATIONS)
def test_every_activation_is_used(name, key):
  options = ENCODER | {'activation': networks.ACTIVATIONS[name]}
  _, apply = networks.make_encoder((2, 2, 1), **options)
  base, _ = networks.make_encoder((2, 2, 1), **ENCODER)
  params = base(key)
  loc = apply(params, jnp.ones((2, 2, 1)))['loc']
  h = jnp.ones(4)
  for layer in params['_Hidden_0'].values():
    h = networks.ACTIVATIONS[name](h @ layer['kernel'] + layer['bias'])
  exact = h @ params['loc']['kernel'] + params['loc']['bias']
  np.testing.assert_allclose(loc, exact, rtol=1e-5)


def test_the_flag_offers_exactly_these_activations():
  field = config.Config.__dataclass_fields__['activation']
  assert sorted(field.metadata['choices']) == sorted(networks.ACTIVATIONS)
