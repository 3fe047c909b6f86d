import json

import jax
import numpy as np
import pytest

from experiments.lab import discrete, discrete_problems, variance
from experiments.lab.config import GradientVarianceConfig
from tests.helpers import SIGMAS
from vae_jax.training.gradient_noise import Moments

# Each estimator is a program of its own.
pytestmark = pytest.mark.slow

DRAWS = 5000


@pytest.fixture(scope='module')
def bit():
  problem = discrete_problems.quadratic(2.0)
  points = discrete.measure(jax.random.key(0), problem, DRAWS)
  return {p.estimator: p for p in points}


@pytest.fixture(scope='module')
def label():
  problem = discrete_problems.problems(jax.random.key(1))[-1]
  points = discrete.measure(jax.random.key(2), problem, 100)
  return {p.estimator: p for p in points}


def test_enumeration_is_the_closed_form(bit):
  p = 1 / (1 + np.exp(-2))
  exact = p * (1 - p) * (0.501**2 - 0.499**2)
  point = bit[discrete.EXACT]
  assert point.gradient == pytest.approx(exact, rel=1e-4)
  assert point.mean == pytest.approx(exact, rel=1e-4)
  assert point.bias_z == 0


def test_only_the_marked_estimators_are_biased(bit):
  """Seven comparisons at 6 standard errors: false alarms below 2e-8.

  The bias of the marked ones is 100 times the gradient, and 20 standard errors.
  """
  assert set(bit) == set(discrete.ESTIMATORS)
  for name, point in bit.items():
    assert point.biased == discrete.ESTIMATORS[name].biased
    if point.biased:
      assert point.bias_z > 12
      assert point.bias_in_gradients > 50
    else:
      assert point.bias_z < SIGMAS


def test_variances_of_one_bit_are_in_their_order(bit):
  """The variance of DisARM is 0.84 of that of leave-one-out at this logit."""
  names = ('disarm', 'score, leave-one-out', 'score function')
  first, second, third = (bit[name].variance for name in names)
  assert first < second < 1e-3 * third
  assert bit['measure-valued'].variance < 1e-6 * first


def test_estimators_of_bits_are_left_out_for_a_label(label):
  left_out = {n for n, row in discrete.ESTIMATORS.items() if row.bits_only}
  assert set(label) == set(discrete.ESTIMATORS) - left_out
  for point in label.values():
    assert point.microseconds > 0
    # The coordinates are correlated: an rms of 3 is 6 deviations at least.
    assert point.biased or point.bias_z < 3
    assert np.all(np.isfinite(point[4:]))


def test_root_mean_square_counts_noise_and_differences():
  rms = discrete._root_mean_square_z
  ones = np.ones(4)
  assert rms(3 * ones, ones, 1.0) == pytest.approx(3)
  # Constant coordinates are ignored, unless they differ.
  assert rms(np.array([2.0, 0]), np.array([1.0, 0]), 1.0) == pytest.approx(2)
  assert rms(np.zeros(2), np.zeros(2), 1.0) == 0
  assert rms(np.array([1.0]), np.zeros(1), 1.0) == pytest.approx(1e4)


def test_a_variance_that_rounding_made_negative_is_zero():
  moments = Moments(np.array([1.0, 2.0]), np.array([-1e-20, 0.0]), 10)
  exact = np.array([1.0, 2.0])
  point = discrete._point('', 'enumeration', False, exact, moments, 1.0)
  assert point.variance == point.bias == point.bias_z == 0
  other = point._replace(estimator='other')
  discrete.draw([point, other])


def test_suite_prints_draws_and_writes(bit, tmp_path, capsys, monkeypatch):
  problem = discrete_problems.quadratic(2.0)
  monkeypatch.setattr(discrete, 'problems', lambda key: [problem] * 2)
  monkeypatch.setattr(discrete, 'measure', lambda *args: list(bit.values()))
  variance.run(GradientVarianceConfig(suite='discrete', workdir=str(tmp_path)))
  printed = capsys.readouterr().out
  assert printed.count('gumbel-softmax, 0.5 (BIASED)') == 2
  assert printed.count('(BIASED)') == 6
  names = {path.name for path in tmp_path.iterdir()}
  assert names == {'results.json', 'discrete_0.png', 'discrete_1.png'}
  records = json.loads((tmp_path / 'results.json').read_text())
  assert len(records) == 2 * len(bit)
  assert records[0]['suite'] == 'discrete'
