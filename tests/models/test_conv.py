"""Convolutional and residual networks, and gated layers."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.errors import UserError
from vae_jax.models.networks import NETWORKS, conv, gated_mlp

linear = lambda x: x
SHAPES = [(28, 28, 1), (105, 105, 1), (7, 5, 1), (32, 32, 3), (6, 9)]
OPTIONS = {
  'hidden_sizes': (6, 5),
  'channels': (4, 5, 6),
  'num_blocks': 2,
  'activation': jnp.tanh,
}


def options_of(name):
  return {each: OPTIONS[each] for each in NETWORKS[name].options}


def convolution_matrix(kernel, shape):
  """Returns the matrix of a 3x3 convolution of stride 2, zero-padded by 1."""
  height, width = shape
  _, _, inputs, outputs = kernel.shape
  rows, columns = -(-height // 2), -(-width // 2)
  matrix = np.zeros((rows, columns, outputs, height, width, inputs))
  for i, j, a, b in itertools.product(
    range(rows), range(columns), range(3), range(3)
  ):
    p, q = 2 * i + a - 1, 2 * j + b - 1
    if 0 <= p < height and 0 <= q < width:
      matrix[i, j, :, p, q] = kernel[a, b].T
  return matrix.reshape(rows * columns * outputs, -1)


def upsampling_matrix(kernel, shape, size):
  """Returns the matrix of a transposed 4x4 convolution, cropped to a size."""
  height, width = shape
  _, _, inputs, outputs = kernel.shape
  matrix = np.zeros((*size, outputs, height, width, inputs))
  for p, q, i, j in itertools.product(*map(range, (*size, *shape))):
    a, b = 2 * i - p + 2, 2 * j - q + 2
    if 0 <= a < 4 and 0 <= b < 4:
      matrix[p, q, :, i, j] = kernel[a, b].T
  return matrix.reshape(size[0] * size[1] * outputs, -1)


@pytest.mark.parametrize('shape', [(6, 5, 2), (7, 4, 1)])
def test_encoder_is_dense_with_the_toeplitz_matrix(shape, key):
  init, apply = conv.make_encoder(
    shape, channels=(3,), outputs={'loc': (2,)}, activation=jnp.tanh
  )
  params = jax.jit(init)(key)
  layer = params['Conv_0']
  x = jax.random.normal(jax.random.key(1), shape)
  matrix = convolution_matrix(np.asarray(layer['kernel']), shape[:2])
  bias = np.arange(3.0)
  h = (matrix @ np.ravel(x)).reshape(-1, 3) + bias
  params['Conv_0'] = layer | {'bias': jnp.asarray(bias, jnp.float32)}
  exact = np.tanh(h).ravel() @ params['loc']['kernel'] + params['loc']['bias']
  np.testing.assert_allclose(apply(params, x)['loc'], exact, atol=1e-5)


@pytest.mark.parametrize('shape', [(6, 5, 2), (7, 4)])
def test_decoder_is_dense_with_the_toeplitz_matrix(shape, key):
  size = shape[:2]
  bias = np.random.RandomState(0).normal(size=shape)
  init, apply = conv.make_decoder(
    shape, channels=(3,), latent_dim=2, activation=jnp.tanh, output_bias=bias
  )
  params = jax.jit(init)(key)
  z = jnp.array([0.7, -1.2])
  h = np.tanh(z @ params['Dense_0']['kernel'] + params['Dense_0']['bias'])
  small = tuple(-(-side // 2) for side in size)
  kernel = np.asarray(params['output']['kernel'])
  matrix = upsampling_matrix(kernel, small, size)
  exact = (matrix @ h).reshape(shape) + bias
  np.testing.assert_allclose(apply(params, z), exact, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['conv', 'resnet'])
@pytest.mark.parametrize('tail', [(), (2,), (256,)])
@pytest.mark.parametrize('shape', SHAPES)
def test_images_of_any_size_have_their_shapes(name, tail, shape, key):
  row = NETWORKS[name]
  outputs = {'loc': (3,), 'scale_tril': (3, 3)}
  init, apply = row.make_encoder(shape, outputs=outputs, **options_of(name))
  found = jax.eval_shape(lambda: apply(init(key), jnp.zeros(shape)))
  assert jax.tree.map(jnp.shape, found) == outputs
  init, apply = row.make_decoder(
    (*shape, *tail), latent_dim=3, **options_of(name)
  )
  found = jax.eval_shape(lambda: apply(init(key), jnp.zeros(3)))
  assert found.shape == (*shape, *tail)


@pytest.mark.slow
@pytest.mark.parametrize('name', NETWORKS)
def test_decoder_starts_at_the_output_bias(name, key):
  """Exactly where z and the weights of the last layer add nothing."""
  bias = np.random.RandomState(0).normal(size=(5, 4, 3, 2))
  init, apply = NETWORKS[name].make_decoder(
    bias.shape, latent_dim=2, output_bias=bias, **options_of(name)
  )
  found = jax.jit(lambda key: apply(init(key), jnp.zeros(2)))(key)
  np.testing.assert_allclose(found, bias, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize('name', NETWORKS)
def test_gradients_are_finite_and_not_zero_in_every_parameter(name, key):
  mean = np.random.RandomState(0).uniform(size=(7, 5, 1))
  options = options_of(name) | {'activation': 'tanh'}
  if name == 'gated_mlp':
    del options['activation']
  vae = vj.make_vae(
    data_shape=mean.shape, network=name, latent_dim=3, data_mean=mean, **options
  )
  loss = vj.make_loss(vae)

  def gradient(key):
    x = jax.random.bernoulli(jax.random.key(1), 0.5, (2, *mean.shape))
    one = lambda params: loss(jax.random.key(2), params, x.astype(float))[0]
    return jax.grad(one)(vae.init(key))

  for path, leaf in jax.tree_util.tree_leaves_with_path(jax.jit(gradient)(key)):
    assert np.all(np.isfinite(leaf)), path
    assert np.any(leaf != 0), path


@pytest.mark.quick('conv')
@pytest.mark.parametrize('name', ['conv', 'resnet'])
def test_an_example_does_not_see_its_batch(name, key):
  init, apply = NETWORKS[name].make_encoder(
    (7, 5, 1), outputs={'loc': (3,)}, **options_of(name)
  )
  params = jax.jit(init)(key)
  x = jax.random.normal(jax.random.key(1), (4, 7, 5, 1))
  both = jax.jit(
    lambda x: (jax.vmap(apply, (None, 0))(params, x), apply(params, x[0]))
  )
  many, one = both(x)
  other, _ = both(x.at[1:].add(10))
  np.testing.assert_allclose(many['loc'][0], one['loc'], atol=1e-6)
  np.testing.assert_array_equal(many['loc'][0], other['loc'][0])


@pytest.mark.slow
def test_variance_of_a_deep_resnet_stays_of_the_order_of_one(key):
  """Without the factor of the branches it would grow 2^20-fold."""
  options = options_of('resnet') | {'num_blocks': 20, 'channels': (16,)}
  init, apply = NETWORKS['resnet'].make_encoder(
    (12, 12, 1), outputs={'loc': (50,)}, **options | {'activation': linear}
  )
  x = jax.random.normal(jax.random.key(1), (12, 12, 1))
  loc = jax.jit(lambda key: apply(init(key), x))(key)['loc']
  assert 0.05 < np.std(loc) < 20


def test_gated_layer_is_a_product_with_a_sigmoid(key):
  init, apply = gated_mlp.make_encoder(
    (2, 2, 1), hidden_sizes=(7, 5), outputs={'loc': (3,)}
  )
  params = jax.jit(init)(key)
  h = np.array([0.5, -1.0, 2.0, 0.1])
  x, layers = jnp.asarray(h, jnp.float32).reshape(2, 2, 1), params['_Hidden_0']
  for i in range(2):
    w, v = layers[f'Dense_{2 * i}'], layers[f'Dense_{2 * i + 1}']
    gate = 1 / (1 + np.exp(-(h @ v['kernel'] + v['bias'])))
    h = (h @ w['kernel'] + w['bias']) * gate
  exact = h @ params['loc']['kernel'] + params['loc']['bias']
  np.testing.assert_allclose(apply(params, x)['loc'], exact, rtol=1e-4)


@pytest.mark.parametrize('name', ['conv', 'resnet'])
def test_vectors_and_networks_without_layers_are_refused(name):
  with pytest.raises(
    UserError,
    match=rf'--network={name}: got vectors of shape \(10,\).*--network=mlp',
  ):
    vj.make_vae(data_shape=(10,), network=name)
  with pytest.raises(UserError, match='got no --channels'):
    vj.make_vae(data_shape=(8, 8, 1), network=name, channels=())
