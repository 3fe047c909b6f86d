import numpy as np

from vae_jax import plots
from vae_jax.evaluate.calibration import summarise
from vae_jax.runs.report.figures import rank_histograms


def test_band_is_three_standard_deviations_of_a_binomial(monkeypatch):
  """A bin counts n simulations, each there with probability 1 / bins."""
  ranks = np.random.RandomState(0).randint(0, 100, (4000, 2))
  found = summarise(ranks, 99, 20)
  seen = []
  monkeypatch.setattr(
    plots, 'histograms', lambda title, panels, expected: seen.append(expected)
  )
  rank_histograms(found)
  ((middle, half),) = seen
  assert middle == 200
  draws = np.random.RandomState(1).binomial(4000, 1 / 20, 100_000)
  # The standard error of a measured deviation is near 1 / sqrt(2 n), .2 %.
  np.testing.assert_allclose(half, 3 * draws.std(), rtol=0.015)
