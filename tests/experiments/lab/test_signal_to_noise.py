import json

import jax
import numpy as np
import pytest

from experiments.lab import signal_to_noise, variance
from experiments.lab.config import GradientVarianceConfig
from tests.helpers import SIGMAS

# Its fixture trains or draws for seconds.
pytestmark = pytest.mark.slow

# Two K suffice for the direction of the trends; slopes need many draws.
GRID = ((1, 20), (64, 20))
NUM_EXAMPLES = 30
# Of two layers with two dimensions each, for which the rates hold from K = 16.
GRID_OF_RATES = ((16, 200), (256, 200))
RATES_OF_ENCODERS = [
  rate for rate in signal_to_noise.RATES_OF_LAYERS if rate[0] != 'prior'
]
RATES = signal_to_noise.RATES | signal_to_noise.RATES_OF_LAYERS


@pytest.fixture(scope='module')
def points():
  case = signal_to_noise.of_one_layer()
  return signal_to_noise.sweep(jax.random.key(0), GRID, NUM_EXAMPLES, case)


@pytest.fixture(scope='module')
def of_layers():
  case = signal_to_noise.of_two_layers()
  return signal_to_noise.sweep(jax.random.key(1), GRID, NUM_EXAMPLES, case)


@pytest.fixture(scope='module')
def of_encoders():
  case = signal_to_noise.of_two_layers(dim=2)
  encoders = {name: case.groups[name] for name, _ in RATES_OF_ENCODERS}
  case = case._replace(groups=encoders)
  return signal_to_noise.sweep(
    jax.random.key(1), GRID_OF_RATES, NUM_EXAMPLES, case
  )


def at(points, group, estimator, k):
  [point] = [
    p
    for p in points
    if (p.group, p.estimator, p.num_samples) == (group, estimator, k)
  ]
  return point


def test_every_estimator_is_measured_at_every_k(points):
  assert len(points) == len(GRID) * (len(signal_to_noise.ESTIMATORS) + 1)


def test_encoder_snr_falls_for_pathwise_and_rises_for_dreg(points):
  snr = lambda *where: at(points, *where).signal_to_noise
  # The theory predicts a factor of 8. Half of it exceeds the noise of 20 draws.
  assert snr('encoder', 'pathwise', 64) < snr('encoder', 'pathwise', 1) / 4
  assert snr('encoder', 'dreg', 64) > 2 * snr('encoder', 'dreg', 1)
  few, many = (at(points, 'decoder', 'pathwise', k).noise for k, _ in GRID)
  assert few > 5 * many


def slope_with_error(points, group, estimator):
  """Returns the slope of log SNR in log K, and its standard error.

  With n draws the log of the noise has an error of at most 1 / sqrt(2 (n - 1)),
  that of a single coordinate, and the log of the signal one of
  1 / (sqrt(n) SNR), with the SNR of the estimator that the signal is taken
  from.
  """
  logs, variances = [], []
  for k, n in GRID_OF_RATES:
    own = at(points, group, estimator, k)
    noises = [p.noise for p in points if (p.group, p.num_samples) == (group, k)]
    logs.append(np.log(own.signal_to_noise))
    variances.append(1 / (2 * (n - 1)) + (min(noises) / own.signal) ** 2 / n)
  distance = np.log(GRID_OF_RATES[1][0] / GRID_OF_RATES[0][0])
  return (logs[1] - logs[0]) / distance, np.sqrt(sum(variances)) / distance


@pytest.mark.parametrize(('group', 'estimator'), RATES_OF_ENCODERS)
def test_snr_in_both_layers_has_the_exponent_of_the_theory(
  of_encoders, group, estimator
):
  # At 16 and more samples the exponents differ from those of the limit by less
  # than 0.01, from 400 draws at each K up to 1024.
  slope, error = slope_with_error(of_encoders, group, estimator)
  assert error < 0.05
  expected = signal_to_noise.RATES_OF_LAYERS[group, estimator]
  assert abs(slope - expected) < SIGMAS * error


def test_gdreg_is_unbiased_in_the_prior_and_less_noisy(of_layers):
  for k, _ in GRID:
    found = {n: at(of_layers, 'prior', n, k) for n in ('pathwise', 'gdreg')}
    assert all(point.bias_z < 2 for point in found.values())
    assert found['gdreg'].noise < found['pathwise'].noise


def test_only_naive_stl_is_biased_and_only_for_k_above_one(points):
  for k, _ in GRID:
    for estimator in ('pathwise', 'dreg'):
      # The mean square of 20 or more independent z-scores has a standard
      # deviation of 0.3: it exceeds 4 with probability 1e-8.
      assert at(points, 'encoder', estimator, k).bias_z < 2
  biased = signal_to_noise.BIASED
  assert at(points, 'encoder', biased, 1).bias_z < 2
  assert at(points, 'encoder', biased, 64).bias_z > 2.5


def test_slopes_are_those_of_the_logarithms():
  points = [
    signal_to_noise.Point('', group, name, k, 0, 0, 3 * k**slope, 0)
    for (group, name), slope in RATES.items()
    for k in (1, 100, 300, 1000)
    if k >= 100 or slope > 0
  ]
  found = signal_to_noise.slopes(points)
  for rate, slope in RATES.items():
    assert found[rate] == pytest.approx(slope)


def test_slope_is_nan_without_signal():
  points = [
    signal_to_noise.Point('', *rate, k, 0, 0, 0.0, 0)
    for rate in RATES
    for k in (100, 300)
  ]
  assert all(np.isnan(x) for x in signal_to_noise.slopes(points).values())


def test_suite_prints_draws_and_writes(
  points, of_layers, tmp_path, capsys, monkeypatch
):
  both = [of_layers, points]
  monkeypatch.setattr(signal_to_noise, 'sweep', lambda *args: both.pop())
  variance.run(
    GradientVarianceConfig(suite='signal_to_noise', workdir=str(tmp_path))
  )
  printed = capsys.readouterr().out
  assert printed.count('slope of log SNR') == 9
  names = {path.name for path in tmp_path.iterdir()}
  assert names == {
    'results.json',
    'signal_to_noise_decoder.png',
    'signal_to_noise_encoder.png',
    'signal_to_noise_two_layers_encoder_z1.png',
    'signal_to_noise_two_layers_encoder_z2.png',
    'signal_to_noise_two_layers_prior.png',
  }
  records = json.loads((tmp_path / 'results.json').read_text())
  assert len(records) == 8 + 12
  assert all(np.isfinite(r['noise']) for r in records)
