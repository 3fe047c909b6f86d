import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.training.gradient_noise import Moments, compare, gradient_moments

PARAMS = {'encoder': {'a': jnp.array([1.0, 2.0])}, 'decoder': jnp.float32(3.0)}


def noisy(offset):
  """A loss with gradient offset + eps in the encoder, 2 d in the decoder."""

  def loss(key, params, batch):
    del batch
    eps = jax.random.normal(key, (2,))
    value = params['encoder']['a'] @ (offset + eps) + params['decoder'] ** 2
    return value, {}

  return loss


def test_moments_equal_those_of_the_draws(key):
  found = gradient_moments(key, noisy(1e3), PARAMS, None, 50)
  keys = jax.random.split(jax.random.clone(key), 50)
  draws = 1e3 + np.asarray(
    jax.vmap(lambda k: jax.random.normal(k, (2,)))(keys), np.float64
  )
  mean, variance = found.mean['encoder']['a'], found.variance['encoder']['a']
  np.testing.assert_allclose(mean, draws.mean(axis=0), rtol=1e-6)
  # With a mean 1000 times the noise the variance loses three digits.
  np.testing.assert_allclose(variance, draws.var(axis=0, ddof=1), rtol=1e-3)
  assert found.variance['decoder'] == 0
  assert found.mean['decoder'] == 6


def moments(mean, variance, num_draws=100):
  tree = lambda x: {'encoder': np.array(x), 'decoder': np.array([0.0])}
  return Moments(tree(mean), tree(variance), num_draws)


def test_unbiased_estimators_share_the_least_noisy_signal():
  quiet = moments([3.0, 4.0], [0.01, 0.03])
  loud = moments([3.5, 3.2], [4.0, 5.0])
  other = moments([9.0, 12.0], [0.0, 1.0])
  found = compare(
    {'quiet': quiet, 'loud': loud, 'other': other}, loud, ('other',)
  )['encoder']
  signal = np.sqrt(25 - 0.04 / 100)
  assert found['quiet'].signal == pytest.approx(signal)
  assert found['loud'].signal == pytest.approx(signal)
  assert found['other'].signal == pytest.approx(np.sqrt(225 - 0.01))
  assert found['loud'].noise == pytest.approx(3.0)
  assert found['loud'].signal_to_noise == pytest.approx(signal / 3)
  error = np.array([4.0 + 4.0, 5.0 + 5.0]) / 100
  z = np.sqrt(
    np.mean(
      (np.array([9.0, 12.0]) - [3.5, 3.2]) ** 2
      / (np.array([0.0 + 4.0, 1.0 + 5.0]) / 100)
    )
  )
  assert found['other'].bias_z == pytest.approx(z)
  z = np.sqrt(np.mean(np.zeros(2) / error))
  assert found['loud'].bias_z == pytest.approx(z)


def test_pure_noise_has_signal_zero_and_constant_parameters_bias_zero():
  found = compare(
    {'a': moments([0.01, 0.0], [4.0, 4.0])}, moments([0, 0], [1, 1])
  )
  assert found['encoder']['a'].signal == 0.0
  assert found['decoder']['a'].bias_z == 0.0


def test_bias_is_detected_and_an_unbiased_estimator_is_near_one(key):
  keys = jax.random.split(key, 3)
  run = lambda key, offset: gradient_moments(
    key, noisy(offset), PARAMS, None, 400
  )
  reference = run(keys[0], 1.0)
  found = compare(
    {'fair': run(keys[1], 1.0), 'off': run(keys[2], 1.5)}, reference
  )
  # The mean of two squared z is above 16 with probability 1e-7.
  assert found['encoder']['fair'].bias_z < 4
  # A bias of 0.5 with a standard error of 0.07: z = 7.
  assert found['encoder']['off'].bias_z > 4
