import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.models import LIKELIHOODS
from vae_jax.models.supports import COUNTS

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
  'discretised_logistic_mixture': vj.DiscretisedLogisticMixture,
  'poisson': vj.Poisson,
  'negative_binomial': vj.NegativeBinomial,
  'zero_inflated_negative_binomial': vj.ZeroInflatedNegativeBinomial,
}
OF_COUNTS = [n for n, row in LIKELIHOODS.items() if row.support == COUNTS]
# Distance of the initial mean from that of the data, at dark or bright pixels.
SLACK = {
  'continuous_bernoulli': 0.011,
  'discretised_logistic': 0.1,
  'categorical': 0.1,
  'discretised_logistic_mixture': 0.15,
}


def make(name, mean=MEAN, shape=SHAPE):
  row = LIKELIHOODS[name]
  given = {'sigma': 0.3, 'num_mixtures': 3, 'size_factor': 'none'}
  return row.head(shape, mean, **{each: given[each] for each in row.options})


def init(head):
  return head.init(jax.random.key(0))


def test_table_of_likelihoods_is_complete():
  assert set(LIKELIHOODS) == set(FAMILIES)
  assert [n for n, row in LIKELIHOODS.items() if row.fits_sigma] == [
    'normal_optimal'
  ]


@pytest.mark.quick(
  'bernoulli', 'normal', 'poisson', 'discretised_logistic_mixture'
)
@pytest.mark.parametrize('name', FAMILIES)
def test_output_makes_a_distribution_of_the_data_shape(name):
  head = make(name)
  output = jnp.ones(head.output_shape)
  p = jax.eval_shape(lambda: head.make(init(head), output))
  assert isinstance(p, FAMILIES[name])
  assert p.shape == SHAPE


# The values of a scalar x, and their spacing.
UNIT = np.linspace(0, 1, 2001)
REALS = np.linspace(-9, 9, 6001)
VALUES = dict.fromkeys(FAMILIES, (REALS, REALS[1] - REALS[0])) | {
  'bernoulli': ([0, 1], 1),
  'continuous_bernoulli': (UNIT[1:] - UNIT[1] / 2, UNIT[1]),
  'discretised_logistic': (np.arange(256) / 255, 1),
  'categorical': (np.arange(256) / 255, 1),
  'discretised_logistic_mixture': (np.arange(256) / 255, 1),
  **dict.fromkeys(OF_COUNTS, (np.arange(3000), 1)),
}


@pytest.mark.quick(
  'normal', 'negative_binomial', 'bernoulli', 'normal_fixed', 'normal_optimal'
)
@pytest.mark.parametrize('name', FAMILIES)
def test_probabilities_sum_to_one(name):
  head = make(name, np.array([0.2]), (1,))
  noise = np.random.RandomState(0).normal(size=head.output_shape)
  output = jnp.asarray(head.output_bias + noise)
  log_prob = lambda x: head.make(init(head), output).log_prob(x)
  x, step = VALUES[name]
  log_p = jax.jit(jax.vmap(log_prob))(jnp.asarray(x, float)[:, None])
  np.testing.assert_allclose(np.sum(np.exp(log_p)) * step, 1, rtol=1e-5)


def initial_mean(head):
  """The mean of p(x|z) where the weights of the last layer are 0."""
  bias = jnp.broadcast_to(head.output_bias, head.output_shape)
  return jax.jit(lambda: head.make(init(head), bias).mean())()


@pytest.mark.slow
@pytest.mark.parametrize('name', FAMILIES)
def test_bias_starts_at_the_mean_example(name):
  mean = initial_mean(make(name))
  np.testing.assert_allclose(mean, MEAN, atol=SLACK.get(name, 0.0011))
  np.testing.assert_allclose(mean[0, 2], 0.5, atol=1e-3)


@pytest.mark.parametrize('name', FAMILIES)
def test_bias_is_neutral_without_a_mean_example(name):
  mean = initial_mean(make(name, mean=None))
  wanted = 0.0 if name.startswith('normal') else 0.5
  if name.startswith('zero_inflated'):
    wanted = 0.95
  elif name in OF_COUNTS:
    wanted = 1.0
  np.testing.assert_allclose(mean, np.full(SHAPE, wanted), atol=1e-3)


@pytest.mark.parametrize(
  'name',
  [
    name
    for name in FAMILIES
    if name not in ('normal', 'normal_optimal') and 'binomial' not in name
  ],
)
def test_other_likelihoods_have_no_parameters(name):
  assert init(make(name)) == {}


def test_normal_starts_at_the_scale_of_the_data():
  vae = vj.make_vae(
    data_shape=SHAPE, likelihood='normal', data_mean=MEAN, data_scale=0.11
  )
  params = vae.init(jax.random.key(0))
  np.testing.assert_allclose(params['decoder']['log_scale'], np.log(0.11))
  for name in FAMILIES:
    vj.make_vae(data_shape=SHAPE, likelihood=name, data_scale=0.11)


def test_normal_has_one_scale_for_every_coordinate():
  head = make('normal')
  p = head.make({'log_scale': jnp.log(0.1)}, jnp.asarray(MEAN))
  np.testing.assert_allclose(p.mean(), MEAN, rtol=1e-6)
  np.testing.assert_allclose(p.variance(), np.full(SHAPE, 0.01), rtol=1e-5)
  np.testing.assert_array_equal(init(head)['log_scale'], 0.0)


def test_normal_fixed_has_the_given_sigma():
  p = make('normal_fixed').make({}, MEAN)
  np.testing.assert_allclose(p.variance(), np.full(SHAPE, 0.09), rtol=1e-5)


def test_sigma_of_normal_optimal_has_no_gradient():
  x = jnp.zeros(SHAPE)

  def log_prob(log_scale, name):
    params = {'log_scale': log_scale}
    return make(name).make(params, jnp.asarray(MEAN)).log_prob(x)

  values = [log_prob(-1.3, name) for name in ('normal', 'normal_optimal')]
  assert values[0] == values[1]
  assert jax.grad(log_prob)(-1.3, 'normal') != 0
  assert jax.grad(log_prob)(-1.3, 'normal_optimal') == 0


def test_each_pixel_of_a_discretised_logistic_has_its_own_scale():
  output = jnp.stack([jnp.asarray(MEAN), jnp.asarray(MEAN) - 3], axis=-1)
  p = make('discretised_logistic').make({}, output)
  np.testing.assert_array_equal(p.loc, output[..., 0])
  np.testing.assert_array_equal(p.log_scale, output[..., 1])


@pytest.mark.parametrize('name', OF_COUNTS)
def test_encoder_of_counts_sees_their_logarithm(name):
  x = jnp.array([0.0, 1.0, 1e6])
  found = make(name).encoder_input(x)
  np.testing.assert_allclose(found, np.log1p(x), rtol=1e-6)
  assert make('bernoulli').encoder_input(x) is x


def test_dispersions_are_learned_for_each_count():
  head = make('negative_binomial')
  params = {'log_dispersion': jnp.asarray(MEAN) - 3}
  q = head.make(params, jnp.zeros(SHAPE))
  np.testing.assert_allclose(q.log_dispersion, MEAN - 3, rtol=1e-6)
  assert init(head)['log_dispersion'].shape == SHAPE


def test_output_with_a_size_factor_starts_at_the_shares_of_the_mean():
  row = LIKELIHOODS['poisson']
  head = row.head((3,), np.array([1.0, 3.0, 4.0]), size_factor='total')
  p = head.make({}, jnp.asarray(head.output_bias, float), jnp.float32(80.0))
  np.testing.assert_allclose(p.mean(), [10, 30, 40], rtol=1e-5)
