import jax
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.evaluate.statistics import Estimate
from vae_jax.runs import Config, splits
from vae_jax.runs.report import metrics as report
from vae_jax.runs.report.table import nats, rows


def test_metrics_are_consistent():
  config = Config(latent_dim=2, hidden_sizes=(8,))
  stored, x = splits.load_split(config, 'test')
  assert set(np.unique(x)) == {0, 1}
  assert x.shape == stored.x.shape
  vae = vj.make_vae(config.model, (8, 8, 1))
  params = vae.init(jax.random.key(0))
  metrics, per_example = report.measure(
    report.make_evaluators(vae), params, x, 5
  )
  assert set(per_example) == set(metrics) - {'nll_num_samples'}
  for name, values in per_example.items():
    assert values.shape == (len(x),)
    mean = metrics[name]
    mean = mean if isinstance(mean, float) else mean.mean
    np.testing.assert_allclose(values.mean(), mean, rtol=1e-5)
  np.testing.assert_allclose(
    metrics['elbo'].mean, metrics['log_likelihood'] - metrics['kl'], rtol=1e-4
  )
  # The bound is tighter for more samples.
  assert -metrics['nll'].mean > metrics['elbo'].mean
  assert 0 < metrics['nll'].standard_error < 1
  curve = report.nll_curve(metrics)
  assert curve == {1: metrics['nll_k1'], 5: metrics['nll']}
  assert curve[1].mean > curve[5].mean
  assert metrics['nll_num_samples'] == 5


NUMBERS = {
  'elbo': Estimate(-9.0, 0.5),
  'log_likelihood': -6.0,
  'kl': 3.0,
  'nll_k1': Estimate(9.0, 0.25),
  'nll': Estimate(8.0, 0.125),
  'nll_num_samples': 5,
}


def test_table_has_a_row_per_metric_in_order():
  more = {
    'ais': Estimate(-8.0, 0.1),
    'ais_acceptance_rate': 0.5,
    'gap_examples': 3,
    'active_units': 1,
    'latent_units': 2,
  }
  assert rows(NUMBERS | more) == [
    ('ELBO', '    -9.000 +- 0.500 nats'),
    ('= log likelihood', '    -6.000 nats'),
    ('- KL', '     3.000 nats'),
    ('NLL, K = 1', '     9.000 +- 0.250 nats'),
    ('NLL, K = 5', '     8.000 +- 0.125 nats'),
    ('active units', '     1 of 2'),
    ('Gaps, examples', '     3'),
    ('log p(x) >=, this split', '    -8.000 +- 0.100 nats'),
    ('acceptance rate, this split', '     0.500'),
  ]


def test_units_that_carry_information_are_counted_beside_active_ones():
  units = {'active_units': 45, 'latent_units': 50}
  assert rows(NUMBERS | units, 18)[-1] == (
    'active units',
    '    45 of 50, 18 with more than 0.1 nats of KL',
  )


def test_one_example_has_no_standard_error():
  assert nats(Estimate(-9.0, np.nan)) == '    -9.000 nats'


def test_decimal_points_of_numbers_are_aligned():
  lines = [nats(12.5), nats(Estimate(-3.0, 1.0)), nats(0.25, decimals=5)]
  assert len({line.index('.') for line in lines}) == 1


@pytest.mark.parametrize(
  ('likelihood', 'offset'),
  [
    *(('categorical', 0.0), ('discretised_logistic', 0.0)),
    *(('continuous_bernoulli', 8.0), ('normal', 8.0), ('normal_fixed', 8.0)),
    ('normal_optimal', 8.0),
  ],
)
def test_bits_per_dimension_of_8_bit_pixels(likelihood, offset):
  config = Config(likelihood=likelihood)
  nll = Estimate(64 * np.log(2), 6.4 * np.log(2))
  images = np.zeros((3, 8, 8, 1), np.uint8)
  found = report.measure_bits(config, images, nll)
  bits = found['bits_per_dimension']
  np.testing.assert_allclose(bits, (1 + offset, 0.1))
  row = f'{1 + offset:10.3f} +- 0.100 bits'
  assert rows(NUMBERS | found)[5] == ('bits per dimension', row)


@pytest.mark.parametrize(
  ('likelihood', 'dtype'), [('bernoulli', np.uint8), ('normal', np.float32)]
)
def test_binary_pixels_and_real_numbers_have_no_bits(likelihood, dtype):
  config, nll = Config(likelihood=likelihood), Estimate(1.0, 0.1)
  assert report.measure_bits(config, np.zeros((3, 4), dtype), nll) == {}


def test_test_images_are_binarised_reproducibly():
  config = Config()
  first, again = (splits.load_split(config, 'test')[1] for _ in range(2))
  np.testing.assert_array_equal(first, again)
