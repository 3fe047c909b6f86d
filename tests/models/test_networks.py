import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.models import networks
from vae_jax.models.networks import mlp

ENCODER = {
  'hidden_sizes': (7, 5),
  'outputs': {'loc': (3,), 'scale_tril': (3, 3)},
  'activation': jnp.tanh,
}
DECODER = {'hidden_sizes': (7, 5), 'latent_dim': 3, 'activation': jnp.tanh}


def test_encoder_and_decoder_have_the_given_shapes(key):
  init, apply = mlp.make_encoder((4, 4, 1), **ENCODER)
  params = jax.eval_shape(init, key)
  outputs = jax.eval_shape(apply, params, jnp.ones((4, 4, 1)))
  assert jax.tree.map(jnp.shape, outputs) == ENCODER['outputs']
  kernels = [x.shape for x in jax.tree.leaves(params) if x.ndim == 2]
  assert sorted(kernels) == [(5, 3), (5, 9), (7, 5), (16, 7)]

  init, apply = mlp.make_decoder((4, 4, 1), **DECODER)
  decode = lambda key: apply(init(key), jnp.ones(3))
  assert jax.eval_shape(decode, key).shape == (4, 4, 1)


def test_weights_are_glorot_uniform_and_biases_zero(key):
  options = ENCODER | {'hidden_sizes': (300,)}
  init, _ = mlp.make_encoder((20, 20, 1), **options)
  layer = jax.jit(init)(key)['_Hidden_0']['Dense_0']
  bound = np.sqrt(6 / (400 + 300))
  assert bound * 0.999 < np.abs(layer['kernel']).max() <= bound
  assert not layer['bias'].any()


def test_decoder_starts_at_the_output_bias(key):
  bias = np.arange(16.0).reshape(4, 4, 1)
  init, apply = mlp.make_decoder((4, 4, 1), output_bias=bias, **DECODER)
  decode = jax.jit(lambda key: apply(init(key), jnp.zeros(3)))
  np.testing.assert_allclose(decode(key), bias)


def test_no_hidden_layers_make_a_linear_map(key):
  options = DECODER | {'hidden_sizes': ()}
  init, apply = mlp.make_decoder((2, 2), output_bias=1.0, **options)
  params = jax.jit(init)(key)
  assert set(params) == {'output'}
  z = jnp.array([1.0, -2.0, 0.5])
  exact = z @ params['output']['kernel'] + 1
  np.testing.assert_allclose(apply(params, z).ravel(), exact, rtol=1e-5)


@pytest.fixture(scope='module')
def encoder_params():
  init, _ = mlp.make_encoder((2, 2, 1), **ENCODER)
  return jax.jit(init)(jax.random.key(0))


@pytest.mark.parametrize('name', networks.ACTIVATIONS)
def test_hidden_layers_apply_the_activation(name, encoder_params):
  activation = networks.ACTIVATIONS[name]
  options = ENCODER | {'activation': activation}
  _, apply = mlp.make_encoder((2, 2, 1), **options)

  def both(params):
    h = jnp.ones(4)
    for layer in params['_Hidden_0'].values():
      h = activation(h @ layer['kernel'] + layer['bias'])
    by_hand = h @ params['loc']['kernel'] + params['loc']['bias']
    return apply(params, jnp.ones((2, 2, 1)))['loc'], by_hand

  found, by_hand = jax.jit(both)(encoder_params)
  np.testing.assert_allclose(found, by_hand, rtol=1e-5)


def test_activations_are_the_functions_of_their_names():
  x = np.array([-1.5, 0.7])
  exact = {
    'elu': np.where(x > 0, x, np.exp(x) - 1),
    'gelu': 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    'relu': np.maximum(x, 0),
    'silu': x / (1 + np.exp(-x)),
    'softplus': np.log1p(np.exp(x)),
    'tanh': np.tanh(x),
  }
  assert set(exact) == set(networks.ACTIVATIONS)
  for name, activation in networks.ACTIVATIONS.items():
    np.testing.assert_allclose(
      activation(jnp.asarray(x)), exact[name], rtol=1e-5, err_msg=name
    )


def test_parameters_have_the_default_precision(key):
  options = {'data_shape': (4,), 'hidden_sizes': (3,), 'likelihood': 'normal'}
  vae = vj.make_vae(**options, data_scale=0.3)
  for is_wide, dtype in ((True, np.float64), (False, np.float32)):
    with jax.enable_x64(is_wide):
      params = jax.eval_shape(vae.init, key)
      q = jax.eval_shape(vae.encode, params, jnp.zeros(4))
    leaves = jax.tree.leaves((params, q))
    assert {leaf.dtype for leaf in leaves} == {np.dtype(dtype)}
