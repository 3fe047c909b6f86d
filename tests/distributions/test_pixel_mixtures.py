import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj

LEVELS = jnp.arange(256.0) / 255


def mixture(channels, num_components=3, scale=-3.0):
  """Returns a mixture over two pixels."""
  random = np.random.RandomState(0)
  shape = (2, num_components, channels)
  return vj.DiscretisedLogisticMixture(
    jnp.asarray(random.normal(size=shape[:2]), jnp.float32),
    jnp.asarray(random.uniform(-0.2, 1.2, shape), jnp.float32),
    jnp.asarray(scale + random.normal(size=shape), jnp.float32),
  )


def pixel(q, index):
  """Returns the distribution of one of the pixels, of shape `[1, C]`."""
  return jax.tree.map(lambda x: x[index : index + 1], q)


def colours(channels):
  """Returns every colour, `[256^C, 1, C]`."""
  grid = np.meshgrid(*[LEVELS] * channels, indexing='ij')
  return np.stack([x.ravel() for x in grid], axis=-1)[:, None]


@pytest.mark.slow
def test_one_component_is_a_discretised_logistic(key):
  q = mixture(3, num_components=1)
  p = vj.DiscretisedLogistic(q.loc[:, 0], q.log_scale[:, 0])
  x = jnp.round(255 * jax.random.uniform(key, (2, 3))) / 255
  np.testing.assert_allclose(q.log_prob(x), p.log_prob(x), rtol=1e-6)
  np.testing.assert_allclose(q.mean(), p.mean(), atol=1e-6)
  np.testing.assert_allclose(q.variance(), p.variance(), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('channels', [1, 2])
@pytest.mark.parametrize('scale', [-7.0, -3.0, 1.0])
def test_probabilities_of_all_colours_sum_to_one(channels, scale):
  q = mixture(channels, scale=scale)
  x = colours(channels)
  total = jax.jit(
    lambda q: jnp.sum(jnp.exp(jax.vmap(q.log_prob)(x).astype(float)))
  )
  for index in range(2):
    np.testing.assert_allclose(total(pixel(q, index)), 1, rtol=1e-5)


@pytest.mark.slow
def test_channels_share_the_component():
  """Moments of two channels by sums over all 65,536 colours."""
  q = mixture(2)
  one, x = pixel(q, 0), colours(2)
  p = np.exp(np.asarray(jax.vmap(one.log_prob)(x), np.float64))
  mean = p @ x[:, 0]
  np.testing.assert_allclose(q.mean()[0], mean, atol=1e-5)
  covariance = (p[:, None] * (x[:, 0] - mean)).T @ (x[:, 0] - mean)
  np.testing.assert_allclose(q.variance()[0], np.diag(covariance), rtol=1e-4)
  # Channels that were independent would have none.
  assert abs(covariance[0, 1]) > 1e-3


def test_draws_have_the_mean_and_variance(key):
  """Six standard errors: false alarms below 2e-8 where draws are normal."""
  q, n = mixture(3), 20_000
  x = jax.jit(jax.vmap(q.sample))(jax.random.split(key, n))
  deviation = np.asarray(x, np.float64) - np.asarray(q.mean())
  for found, wanted in ((deviation, 0.0), (deviation**2, q.variance())):
    error = found.std(axis=0) / np.sqrt(n)
    assert np.all(np.abs(found.mean(axis=0) - wanted) < 6 * error)


@pytest.mark.slow
@pytest.mark.parametrize('log_scale', [-30.0, -9.0, 0.0, 30.0])
@pytest.mark.parametrize('loc', [-5.0, 0.0, 0.5, 5.0])
def test_log_prob_and_slopes_are_finite_in_the_tails(loc, log_scale):
  """One component in the far tail, and another at weight exp(-80)."""
  q = vj.DiscretisedLogisticMixture(
    jnp.array([0.0, -80.0]),
    jnp.array([[loc], [0.3]]),
    jnp.array([[log_scale], [-3.0]]),
  )
  density = jax.vmap(jax.value_and_grad(lambda q, x: q.log_prob(x)), (None, 0))
  value, slopes = density(q, LEVELS[:, None])
  assert np.all(np.isfinite(value))
  assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(slopes))
  # The second component is a floor.
  floor = vj.DiscretisedLogistic(jnp.array([0.3]), -3.0)
  least = jax.vmap(floor.log_prob)(LEVELS[:, None]) - 80
  assert np.all(value > least - 1e-3)


@pytest.mark.slow
def test_other_numbers_than_levels_have_probability_zero():
  q = mixture(3)
  assert np.isneginf(q.log_prob(jnp.full((2, 3), 0.5)))
  assert np.isfinite(q.log_prob(jnp.full((2, 3), 51 / 255)))
