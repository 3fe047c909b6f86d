import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests.helpers import assert_mean
from vae_jax import data
from vae_jax.evaluate import bits_per_dimension
from vae_jax.evaluate.chunks import example_size


def test_equal_levels_cost_eight_bits():
  nats, error = 5 * np.log(256), 5 * np.log(2) / 10
  bits = bits_per_dimension(nats, error, 5, dequantised=False)
  np.testing.assert_allclose(bits, (8.0, 0.1))
  # The density 1 on [0, 1] makes the same law.
  bits = bits_per_dimension(0.0, error, 5, dequantised=True)
  np.testing.assert_allclose(bits, (8.0, 0.1))


def test_a_density_of_whole_levels_has_the_bits_of_its_discrete_law():
  mass = np.random.default_rng(0).dirichlet(np.ones(256))
  density = 256 * mass  # of x = (level + u) / 256
  for level in (0, 17, 255):
    discrete = bits_per_dimension(-np.log(mass[level]), 0, 1, dequantised=False)
    dequantised = bits_per_dimension(
      -np.log(density[level]), 0, 1, dequantised=True
    )
    np.testing.assert_allclose(discrete, dequantised)


@pytest.mark.parametrize('scale', [1e-3, 0.01, 0.2])
def test_bits_of_a_density_bound_those_of_its_levels(scale, key):
  law = stats.norm(0.4, scale)
  mass = law.cdf(103 / 256) - law.cdf(102 / 256)
  images = jnp.full((20_000,), 102, jnp.uint8)
  x = np.asarray(data.dequantise(key, images), np.float64)
  bits = np.array(
    [bits_per_dimension(v, 0, 1, dequantised=True)[0] for v in -law.logpdf(x)]
  )
  u = (102 + (np.arange(10_000) + 0.5) / 10_000) / 256
  mean = np.mean(-law.logpdf(u)) / np.log(2) + 8
  assert_mean(bits, mean)
  assert mean >= -np.log2(mass)


@pytest.mark.parametrize(
  ('likelihood', 'size'),
  [('bernoulli', 64), ('discretised_logistic', 64), ('categorical', 64 * 256)],
)
def test_memory_is_counted_by_the_largest_parameter(likelihood, size):
  config = vj.Config(latent_dim=2, hidden_sizes=(3,), likelihood=likelihood)
  vae = vj.make_vae(config, (8, 8, 1))
  params = vae.init(jax.random.key(0))
  data = np.zeros((5, 8, 8, 1))
  assert example_size(vae, params, data) == size
  # A distribution of the user's own, which shows no parameters.
  foreign = vae._replace(decode=lambda params, z: object())
  assert example_size(foreign, params, data) == 64
