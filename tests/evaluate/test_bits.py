import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tests.helpers import assert_mean
from vae_jax import data
from vae_jax.evaluate import Estimate, bits_per_dimension, example_size
from vae_jax.models.make import make_vae


def bits(nats, size, dequantised):
  return bits_per_dimension(
    Estimate(nats, 0.0), size, dequantised=dequantised
  ).mean


def test_uniform_levels_have_eight_bits():
  nats, error = 5 * np.log(256), 5 * np.log(2) / 10
  found = bits_per_dimension(Estimate(nats, error), 5, dequantised=False)
  np.testing.assert_allclose(found, (8.0, 0.1))
  # The density 1 on [0, 1] gives every level the same probability.
  found = bits_per_dimension(Estimate(0.0, error), 5, dequantised=True)
  np.testing.assert_allclose(found, (8.0, 0.1))


def test_piecewise_constant_density_has_the_bits_of_its_levels():
  mass = np.random.default_rng(0).dirichlet(np.ones(256))
  density = 256 * mass  # of x = (level + u) / 256
  for level in (0, 17, 255):
    np.testing.assert_allclose(
      bits(-np.log(mass[level]), 1, False),
      bits(-np.log(density[level]), 1, True),
    )


@pytest.mark.parametrize('scale', [1e-3, 0.01, 0.2])
def test_bits_of_a_density_bound_the_bits_of_its_levels(scale, key):
  family = stats.norm(0.4, scale)
  mass = family.cdf(103 / 256) - family.cdf(102 / 256)
  images = jnp.full((20_000,), 102, jnp.uint8)
  x = np.asarray(data.dequantise(key, images), np.float64)
  found = np.array([bits(v, 1, True) for v in -family.logpdf(x)])
  u = (102 + (np.arange(10_000) + 0.5) / 10_000) / 256
  mean = np.mean(-family.logpdf(u)) / np.log(2) + 8
  assert_mean(found, mean)
  assert mean >= -np.log2(mass)


@pytest.mark.quick('bernoulli-64', 'discretised_logistic-64')
@pytest.mark.parametrize(
  ('likelihood', 'size'),
  [('bernoulli', 64), ('discretised_logistic', 64), ('categorical', 64 * 256)],
)
def test_example_size_is_that_of_the_largest_parameter(likelihood, size):
  vae = make_vae(
    data_shape=(8, 8, 1),
    latent_dim=2,
    hidden_sizes=(3,),
    likelihood=likelihood,
  )
  shapes = jax.eval_shape(vae.init, jax.random.key(0))
  params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
  data = np.zeros((5, 8, 8, 1), np.uint8)
  assert example_size(vae, params, data) == size
  # A user's distribution that is not a pytree has no visible parameters.
  foreign = vae._replace(decode=lambda params, z: object())
  assert example_size(foreign, params, data) == 64
