"""Batches of distributions whose weights are not copied per example."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.distributions.shared import share_weights

X = np.random.RandomState(0).rand(7, 3, 3)
MODELS = {
  'iaf': {'posterior': 'iaf'},
  'realnvp': {'posterior': 'realnvp'},
  'bottom_up': {'latent_dims': (4, 2)},
  'top_down': {'latent_dims': (4, 2), 'inference': 'top_down'},
  'normal': {'latent_dim': 4},
}


@pytest.fixture(scope='module', params=MODELS)
def batches(request):
  """The posteriors of a batch, with shared weights and with copies."""
  sizes = {'latent_dim': 4} | {'hidden_sizes': (5,), 'data_shape': (3, 3)}
  options = MODELS[request.param]
  if 'latent_dims' in options:
    del sizes['latent_dim']
  model = vj.make_vae(**sizes | options)
  noise = iter(jax.random.split(jax.random.key(1), 100))
  # Not the start, at which a flow is the identity.
  params = jax.tree.map(
    lambda x: x + 0.3 * jax.random.normal(next(noise), x.shape),
    model.init(jax.random.key(0)),
  )
  plain = lambda x: model.condition(params, x).posterior
  shared = lambda x: share_weights(plain(x))
  return jax.vmap(shared)(X), jax.vmap(plain)(X)


@pytest.mark.slow
def test_methods_of_a_batch_are_those_of_its_copies(batches):
  keys = jax.random.split(jax.random.key(2), len(X))
  shared, copied = batches
  z, log_q = jax.vmap(lambda key, q: q.draw_and_log_prob(key))(keys, shared)
  found = jax.vmap(lambda q, z: q.log_prob(z))(shared, z)
  expected = jax.vmap(lambda q, z: q.log_prob(z))(copied, z)
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
  close(found, expected)
  close(log_q, expected)
  one, other = (jax.tree.map(lambda leaf: leaf[3], q) for q in batches)
  assert one.has_inverse == other.has_inverse
  close(one.log_prob(jax.tree.map(lambda leaf: leaf[3], z)), expected[3])


@pytest.mark.quick('bottom_up')
def test_a_batch_holds_what_depends_on_the_example_only(batches, request):
  shared, copied = batches
  size = lambda q: sum(leaf.size for leaf in jax.tree.leaves(q))
  name = request.node.callspec.params['batches']
  # loc and log_scale, and a context per bijection or those of two layers.
  per_example = {
    'iaf': 8 + 2 * 100,
    'realnvp': 8 + 2 * 100,
    'bottom_up': 8,
    'top_down': 8 + 4,
    'normal': 8,
  }[name]
  assert size(shared) == len(X) * per_example
  assert (size(shared) < size(copied)) == (name != 'normal')


@pytest.mark.slow
def test_parameters_that_are_traced_stay_leaves(key):
  model = vj.make_vae(
    data_shape=(3, 3), latent_dim=2, hidden_sizes=(5,), posterior='realnvp'
  )

  def log_q(params):
    q = jax.vmap(lambda x: share_weights(model.condition(params, x).posterior))
    z = jnp.ones((len(X), 2))
    return jnp.sum(jax.vmap(lambda q, z: q.log_prob(z))(q(X), z))

  gradient = jax.jit(jax.grad(log_q))(model.init(key))
  assert any(
    jnp.any(leaf != 0) for leaf in jax.tree.leaves(gradient['encoder']['flow'])
  )
