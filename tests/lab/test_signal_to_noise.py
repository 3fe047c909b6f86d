import json

import jax
import numpy as np
import pytest

from vae_jax.config import GradientVarianceConfig
from vae_jax.lab import signal_to_noise, variance

# The slopes are of hundreds of draws: the whole grid is for the command.
GRID = ((1, 20), (64, 20))
NUM_EXAMPLES = 100


@pytest.fixture(scope='module')
def points():
  return signal_to_noise.sweep(jax.random.key(0), GRID, NUM_EXAMPLES)


def at(points, group, estimator, k):
  [point] = [
    p
    for p in points
    if (p.group, p.estimator, p.num_samples) == (group, estimator, k)
  ]
  return point


def test_every_estimator_is_measured_at_every_k(points):
  assert len(points) == len(GRID) * (len(signal_to_noise.ESTIMATORS) + 1)


def test_plain_signal_drowns_and_doubly_reparameterised_rises(points):
  snr = lambda *where: at(points, *where).signal_to_noise
  # By K^(1/2), 8 in all: half of it is far outside the noise of 20 draws.
  assert snr('encoder', 'pathwise', 64) < snr('encoder', 'pathwise', 1) / 4
  assert snr('encoder', 'dreg', 64) > 2 * snr('encoder', 'dreg', 1)
  few, many = (at(points, 'decoder', 'pathwise', k).noise for k, _ in GRID)
  assert few > 5 * many


def test_only_the_naive_one_is_biased_and_only_beyond_one_draw(points):
  for k, _ in GRID:
    for estimator in ('pathwise', 'dreg'):
      # A mean of at least 20 independent squares of z, of deviation 0.3:
      # above 4 with probability 1e-8.
      assert at(points, 'encoder', estimator, k).bias_z < 2
  biased = signal_to_noise.BIASED
  assert at(points, 'encoder', biased, 1).bias_z < 2
  assert at(points, 'encoder', biased, 64).bias_z > 2.5


def test_slopes_are_of_the_logarithms():
  points = [
    signal_to_noise.Point('', group, name, k, 0, 0, 3 * k**slope, 0)
    for (group, name), slope in signal_to_noise.LAWS.items()
    for k in (1, 100, 300, 1000)
    if k >= 100 or slope > 0
  ]
  found = signal_to_noise.slopes(points)
  for law, slope in signal_to_noise.LAWS.items():
    assert found[law] == pytest.approx(slope)


def test_a_signal_lost_in_noise_has_no_slope():
  points = [
    signal_to_noise.Point('', *law, k, 0, 0, 0.0, 0)
    for law in signal_to_noise.LAWS
    for k in (100, 300)
  ]
  assert all(np.isnan(x) for x in signal_to_noise.slopes(points).values())


def test_the_suite_prints_draws_and_writes(tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(signal_to_noise, 'SWEEP', ((100, 3), (150, 3)))
  monkeypatch.setattr(signal_to_noise, 'NUM_EXAMPLES', 30)
  variance.run(
    GradientVarianceConfig(suite='signal_to_noise', workdir=str(tmp_path))
  )
  printed = capsys.readouterr().out
  assert printed.count('slope of log SNR') == 3
  names = {path.name for path in tmp_path.iterdir()}
  assert names == {
    'results.json',
    'signal_to_noise_decoder.png',
    'signal_to_noise_encoder.png',
  }
  records = json.loads((tmp_path / 'results.json').read_text())
  assert len(records) == 8
  assert all(np.isfinite(r['noise']) for r in records)
