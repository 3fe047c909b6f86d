"""Counts with an observed size factor: p(x|z, s), s = the total of x."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import vae_jax as vj

X = jnp.array([3.0, 0.0, 5.0])
NAMES = ['poisson', 'negative_binomial', 'zero_inflated_negative_binomial']


def make(name='poisson', size_factor='total', **options):
  return vj.make_vae(
    data_shape=(3,),
    likelihood=name,
    size_factor=size_factor,
    latent_dim=2,
    hidden_sizes=(4,),
    **options,
  )


def test_mean_is_the_total_times_the_shares(key):
  vae = make()
  assert isinstance(vae, vj.SizeFactorVAE)
  params = jax.jit(vae.init)(key)
  z = jnp.array([0.3, -1.0])
  p = vae.condition(params, X).likelihood(z)
  np.testing.assert_allclose(jnp.sum(p.mean()), 8, rtol=1e-5)
  plain = make(size_factor='none').decode(params, z).log_rate
  shares = special.softmax(np.asarray(plain))
  np.testing.assert_allclose(p.mean(), 8 * shares, rtol=1e-5)
  np.testing.assert_allclose(
    vae.condition(params, X).log_likelihood(z),
    stats.poisson(8 * shares).logpmf(X).sum(),
    rtol=1e-5,
  )


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_probabilities_at_a_given_size_sum_to_one(name, key):
  vae = make(name)
  params = jax.jit(vae.init)(key)
  z = jnp.array([0.3, -1.0])
  x = jnp.array(list(itertools.product(range(80), range(1), range(80))), float)
  one = lambda s: vae.decode(params, z, s)
  log_p = lambda x: one(jnp.float32(2.0)).log_prob(x)
  # Summed over two of the three counts, at x_1 = 0.
  found = np.sum(np.exp(np.asarray(jax.vmap(log_p)(x), np.float64)))
  p = one(jnp.float32(2.0))
  middle = jax.tree.map(lambda v: jnp.broadcast_to(v, (3,))[1:2], p)
  zero = np.exp(float(middle.log_prob(jnp.zeros(1))))
  np.testing.assert_allclose(found, zero, rtol=1e-4)


def test_a_given_size_replaces_that_of_x(key):
  vae = make()
  params = jax.jit(vae.init)(key)
  example = {'x': X, 'size': jnp.float32(20.0)}
  p = vae.condition(params, example).likelihood(jnp.zeros(2))
  np.testing.assert_allclose(jnp.sum(p.mean()), 20, rtol=1e-5)
  data = np.array([[1, 2, 3], [0, 0, 0]], np.uint8)
  found = vae.with_sizes(data)
  np.testing.assert_array_equal(found['size'], [6, 0])
  assert vae.with_sizes(found) is found


@pytest.mark.slow
def test_an_example_without_counts_has_a_finite_probability(key):
  vae = make()
  params = jax.jit(vae.init)(key)

  def log_prob(params):
    return vae.condition(params, jnp.zeros(3)).log_likelihood(jnp.zeros(2))

  value, slope = jax.value_and_grad(log_prob)(params)
  np.testing.assert_allclose(value, 0, atol=1e-6)
  assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(slope))


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('size_factor', ['none', 'total'])
def test_gradients_are_finite_in_every_parameter(name, size_factor, key):
  vae = make(name, size_factor, data_mean=np.array([1.0, 0.0, 1e4]))
  loss = vj.make_loss(vae)
  x = jnp.array([[2.0, 0.0, 12000.0], [0.0, 1.0, 7000.0]])

  def gradient(key):
    one = lambda params: loss(jax.random.key(2), params, x)[0]
    return jax.grad(one)(vae.init(key))

  for path, leaf in jax.tree_util.tree_leaves_with_path(jax.jit(gradient)(key)):
    assert np.all(np.isfinite(leaf)), path
    assert np.any(leaf != 0), path


@pytest.mark.slow
def test_simulated_examples_keep_the_size_they_are_drawn_at(key):
  """Bidirectional annealing: the exact log p(x|s) lies between the bounds.

  The decoder ignores z, so that every weight is exact: with the size of the
  simulated x instead of s the two bounds would differ.
  """
  vae = make()
  params = jax.jit(vae.init)(key)
  params['decoder']['output']['kernel'] *= 0
  data = jnp.array([[30.0, 20.0, 10.0]])
  found = vj.estimate_sandwich(
    jax.random.key(1),
    vae,
    params,
    data,
    num_examples=6,
    num_chains=1,
    num_temperatures=3,
    num_leapfrog_steps=1,
  )
  np.testing.assert_allclose(found.gap.mean, 0, atol=1e-3)
  # E[log p(x|s)] of three Poissons of mean 20, to 6 standard errors.
  x = np.arange(200)
  p = stats.poisson(20).pmf(x)
  log_p = stats.poisson(20).logpmf(x)
  mean = p @ log_p
  error = np.sqrt(p @ (log_p - mean) ** 2 * 3 / 6)
  assert abs(found.lower.mean - 3 * mean) < 6 * error
