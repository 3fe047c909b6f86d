import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax import config, likelihoods

SHAPE = (2, 3)
MEAN = np.array([[0.0, 0.2, 0.5], [0.9, 1.0, 0.3]])
FAMILIES = {
  'bernoulli': vj.Bernoulli,
  'continuous_bernoulli': vj.ContinuousBernoulli,
  'normal': vj.Normal,
  'normal_fixed': vj.Normal,
  'normal_optimal': vj.Normal,
  'discretised_logistic': vj.DiscretisedLogistic,
  'categorical': vj.CategoricalPixels,
}
# Pixels next to black and white: how far their mean starts from the data's.
SLACK = {
  'continuous_bernoulli': 0.011,
  'discretised_logistic': 0.1,
  'categorical': 0.1,
}


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


# What x of one number may be, and how far its neighbour is.
BETWEEN = np.linspace(0, 1, 2001)
REALS = np.linspace(-9, 9, 6001)
VALUES = dict.fromkeys(FAMILIES, (REALS, REALS[1] - REALS[0])) | {
  'bernoulli': ([0, 1], 1),
  'continuous_bernoulli': (BETWEEN[1:] - BETWEEN[1] / 2, BETWEEN[1]),
  'discretised_logistic': (np.arange(256) / 255, 1),
  'categorical': (np.arange(256) / 255, 1),
}


@pytest.mark.parametrize('name', FAMILIES)
def test_all_that_x_may_be_has_probability_one(name):
  flags = vj.Config(likelihood=name)
  likelihood = likelihoods.make_likelihood(flags, (1,), np.array([0.2]))
  noise = np.random.RandomState(0).normal(size=likelihood.output_shape)
  output = jnp.asarray(likelihood.output_bias + noise)
  p = likelihood.distribution(likelihood.init(), output)
  x, step = VALUES[name]
  log_p = jax.vmap(p.log_prob)(jnp.asarray(x, float)[:, None])
  np.testing.assert_allclose(np.sum(np.exp(log_p)) * step, 1, rtol=1e-5)


@pytest.mark.parametrize('name', FAMILIES)
def test_bias_starts_at_the_mean_example(name):
  likelihood = make(name)
  bias = jnp.broadcast_to(likelihood.output_bias, likelihood.output_shape)
  p = likelihood.distribution(likelihood.init(), bias)
  np.testing.assert_allclose(p.mean(), MEAN, atol=SLACK.get(name, 0.0011))
  grey = p.mean()[0, 2]
  np.testing.assert_allclose(grey, 0.5, atol=1e-3)


@pytest.mark.parametrize('name', FAMILIES)
def test_bias_has_no_preference_where_the_mean_is_unknown(name):
  likelihood = make(name, mean=None)
  bias = jnp.broadcast_to(likelihood.output_bias, likelihood.output_shape)
  mean = likelihood.distribution(likelihood.init(), bias).mean()
  wanted = 0.0 if name.startswith('normal') else 0.5
  np.testing.assert_allclose(mean, np.full(SHAPE, wanted), atol=1e-3)


@pytest.mark.parametrize(
  'name',
  [name for name in FAMILIES if name not in ('normal', 'normal_optimal')],
)
def test_others_learn_nothing_beside_the_network(name):
  assert make(name).init() == {}


def test_normal_has_one_scale_for_every_coordinate():
  likelihood = make('normal')
  p = likelihood.distribution({'log_scale': jnp.log(0.1)}, jnp.asarray(MEAN))
  np.testing.assert_allclose(p.mean(), MEAN, rtol=1e-6)
  np.testing.assert_allclose(p.variance(), np.full(SHAPE, 0.01), rtol=1e-5)
  np.testing.assert_array_equal(likelihood.init()['log_scale'], 0.0)


def test_normal_fixed_has_the_sigma_of_the_flag():
  flags = vj.Config(likelihood='normal_fixed', sigma=0.3)
  p = likelihoods.make_likelihood(flags, SHAPE, MEAN).distribution({}, MEAN)
  np.testing.assert_allclose(p.variance(), np.full(SHAPE, 0.09), rtol=1e-5)


def test_normal_optimal_is_climbed_at_its_sigma_and_not_in_it():
  x = jnp.zeros(SHAPE)

  def log_prob(log_scale, name):
    params = {'log_scale': log_scale}
    return make(name).distribution(params, jnp.asarray(MEAN)).log_prob(x)

  values = [log_prob(-1.3, name) for name in ('normal', 'normal_optimal')]
  assert values[0] == values[1]
  assert jax.grad(log_prob)(-1.3, 'normal') != 0
  assert jax.grad(log_prob)(-1.3, 'normal_optimal') == 0


def test_each_pixel_of_a_discretised_logistic_has_its_own_scale():
  output = jnp.stack([jnp.asarray(MEAN), jnp.asarray(MEAN) - 3], axis=-1)
  p = make('discretised_logistic').distribution({}, output)
  np.testing.assert_array_equal(p.loc, output[..., 0])
  np.testing.assert_array_equal(p.log_scale, output[..., 1])
