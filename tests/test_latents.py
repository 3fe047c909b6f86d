import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax import latents
from vae_jax.config import Config

CHOICES = {
  name: Config.__dataclass_fields__[name].metadata['choices']
  for name in ('posterior', 'prior')
}


def test_the_flags_offer_exactly_these_families():
  assert set(CHOICES['posterior']) == set(latents.POSTERIORS)
  assert set(CHOICES['prior']) == set(latents.PRIORS)


@pytest.mark.parametrize('name', latents.POSTERIORS)
def test_outputs_of_a_network_make_a_posterior(name, key):
  posterior = latents.POSTERIORS[name]
  outputs = posterior.outputs(3)
  keys = jax.random.split(key, len(outputs))
  values = {
    output: jax.random.normal(k, shape)
    for k, (output, shape) in zip(keys, outputs.items(), strict=True)
  }
  q = posterior.make(**values)
  assert q.shape == (3,)
  assert np.isfinite(q.log_prob(jnp.ones(3)))


def test_full_covariance_is_that_of_any_output():
  values = jnp.array([[0.1, 9.0], [0.5, -0.3]])
  q = latents.POSTERIORS['full_normal'].make(jnp.zeros(2), values)
  c = np.array([[np.exp(0.1), 0], [0.5, np.exp(-0.3)]])
  np.testing.assert_allclose(q.covariance(), c @ c.T, rtol=1e-6)


@pytest.mark.parametrize('name', latents.PRIORS)
def test_priors_are_standard(name):
  prior = latents.PRIORS[name](3)
  assert prior.shape == (3,)
  np.testing.assert_allclose(prior.mean(), 0.5 if name == 'bernoulli' else 0.0)
  for parameter in jax.tree.leaves(prior):
    np.testing.assert_array_equal(parameter, np.zeros(3))
