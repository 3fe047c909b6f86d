import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax import config, likelihoods

SHAPE = (2, 3)
MEAN = np.array([[0.0, 0.2, 0.5], [0.9, 1.0, 0.3]])
FAMILIES = {'bernoulli': vj.Bernoulli, 'normal': vj.Normal}


def make(name, mean=MEAN):
  flags = vj.Config(likelihood=name)
  return likelihoods.make_likelihood(flags, SHAPE, mean)


def test_the_flag_offers_exactly_these_likelihoods():
  field = config.Config.__dataclass_fields__['likelihood']
  choices = field.metadata['choices']
  assert sorted(choices) == sorted(likelihoods.LIKELIHOODS) == sorted(FAMILIES)


@pytest.mark.parametrize('name', FAMILIES)
def test_an_output_makes_a_distribution_of_the_datas_shape(name):
  likelihood = make(name)
  output = jnp.ones(likelihood.output_shape)
  p = likelihood.distribution(likelihood.init(), output)
  assert isinstance(p, FAMILIES[name])
  assert p.shape == SHAPE


@pytest.mark.parametrize('name', FAMILIES)
def test_bias_starts_at_the_mean_example(name):
  likelihood = make(name)
  bias = jnp.broadcast_to(likelihood.output_bias, likelihood.output_shape)
  p = likelihood.distribution(likelihood.init(), bias)
  np.testing.assert_allclose(p.mean(), MEAN, atol=0.0011)


@pytest.mark.parametrize('name', FAMILIES)
def test_bias_starts_at_zero_where_the_mean_is_unknown(name):
  assert make(name, mean=None).output_bias == 0


def test_bernoulli_learns_nothing_beside_the_network():
  assert make('bernoulli').init() == {}


def test_normal_has_one_scale_for_every_coordinate():
  likelihood = make('normal')
  p = likelihood.distribution({'log_scale': jnp.log(0.1)}, jnp.asarray(MEAN))
  np.testing.assert_allclose(p.mean(), MEAN, rtol=1e-6)
  np.testing.assert_allclose(p.variance(), np.full(SHAPE, 0.01), rtol=1e-5)
  np.testing.assert_array_equal(likelihood.init()['log_scale'], 0.0)
