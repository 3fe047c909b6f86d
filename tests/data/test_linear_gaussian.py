import jax
import numpy as np

from tests.helpers import assert_mean
from vae_jax import data
from vae_jax.data import linear_gaussian
from vae_jax.models.linear_gaussian import maximum_log_likelihood


def test_data_are_float32_and_deterministic():
  train, validation = data.load_train('linear_gaussian', num_validation=1000)
  test = data.load_test('linear_gaussian')
  shapes = [split.x.shape for split in (train, validation, test)]
  assert shapes == [(5400, 10), (600, 10), (1000, 10)]
  assert train.x.dtype == test.x.dtype == np.float32
  np.testing.assert_array_equal(test.x, data.load_test('linear_gaussian').x)
  # Values of the first release: results stay comparable with older runs.
  first = [-1.1028517, -0.1633782, 0.4751323]
  np.testing.assert_allclose(test.x[0, :3], first, rtol=1e-5)


def test_vectors_have_the_mean_and_covariance_of_the_model():
  """False-alarm rate: 2e-9 for each of 10 means and 100 products."""
  model = linear_gaussian.true_linear_gaussian()
  splits = linear_gaussian.read_linear_gaussian()
  x = np.concatenate([split.x for split in splits.values()])
  centred = x.astype(np.float64) - model.loc
  assert_mean(centred, np.zeros(10))
  covariance = model.weights @ model.weights.T + 0.25 * np.eye(10)
  assert_mean(centred[:, :, None] * centred[:, None, :], covariance)


def test_four_latents_are_needed_and_sufficient():
  """The likelihood improves with each of 4 latents, not with a fifth."""
  model = linear_gaussian.true_linear_gaussian()
  gram = model.weights.T @ model.weights
  np.testing.assert_allclose(gram, np.diag([4, 2.8, 2, 1.4]) ** 2, atol=1e-12)
  train = linear_gaussian.read_linear_gaussian()['train'].x
  best = [maximum_log_likelihood(train, latent_dim) for latent_dim in range(6)]
  assert np.all(np.diff(best)[:4] > 0.5)
  # A superfluous parameter gains about 1 / 2N.
  assert np.diff(best)[4] < 0.01


def test_likelihood_of_the_truth_is_close_to_the_maximum():
  """2 N (maximum - truth) is chi-squared, 45 degrees; false alarm: 2e-9."""
  model = linear_gaussian.true_linear_gaussian()
  train = linear_gaussian.read_linear_gaussian()['train'].x
  with jax.enable_x64(True):
    log_p = jax.jit(jax.vmap(model.log_marginal))(train.astype(np.float64))
    truth = float(np.mean(np.asarray(log_p)))
  excess = 2 * len(train) * (maximum_log_likelihood(train, 4) - truth)
  assert 8.8 < excess < 127
