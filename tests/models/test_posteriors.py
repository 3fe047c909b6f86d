import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.models import POSTERIORS

FAMILIES = {
  'normal': vj.Normal,
  'full_normal': vj.MultivariateNormal,
  'laplace': vj.Laplace,
  'logistic': vj.Logistic,
  'bernoulli': vj.Bernoulli,
}


def test_table_of_posteriors_is_complete():
  assert set(POSTERIORS) == set(FAMILIES)


@pytest.mark.parametrize('name', POSTERIORS)
def test_encoder_outputs_make_a_posterior(name):
  head = POSTERIORS[name].head(3)
  draw = np.random.RandomState(0).standard_normal
  values = {
    output: jnp.asarray(draw(shape), jnp.float32)
    for output, shape in head.outputs.items()
  }

  def make(values):
    q = head.make({}, values)
    assert type(q) is FAMILIES[name]
    assert q.shape == (3,)
    return q.log_prob(jnp.ones(3))

  assert np.isfinite(jax.jit(make)(values))
  # Nothing is learned beside the network.
  assert head.init(jax.random.key(0)) == {}


@pytest.mark.parametrize('name', ['normal', 'laplace', 'logistic'])
def test_location_and_scale_are_the_outputs(name):
  values = {'loc': jnp.array([1.0, 2.0]), 'log_scale': jnp.array([0.5, -1.0])}
  q = POSTERIORS[name].head(2).make({}, values)
  np.testing.assert_array_equal(q.loc, values['loc'])
  np.testing.assert_array_equal(q.log_scale, values['log_scale'])


def test_full_normal_accepts_any_matrix():
  values = {
    'loc': jnp.zeros(2),
    'scale_tril': jnp.array([[0.1, 9.0], [0.5, -0.3]]),
  }
  q = POSTERIORS['full_normal'].head(2).make({}, values)
  c = np.array([[np.exp(0.1), 0], [0.5, np.exp(-0.3)]])
  np.testing.assert_allclose(q.covariance(), c @ c.T, rtol=1e-6)
