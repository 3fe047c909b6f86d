from types import SimpleNamespace

import numpy as np

from vae_jax import plots


def test_one_figure_per_group_and_one_line_per_estimator():
  point = lambda group, estimator, k, ratio: SimpleNamespace(
    group=group, estimator=estimator, num_samples=k, signal_to_noise=ratio
  )
  points = [
    *(point('encoder', 'dreg', k, k**0.5) for k in (1, 4)),
    *(point('encoder', 'pathwise', k, k**-0.5) for k in (1, 4)),
    # A ratio of 0 cannot be drawn on a logarithmic axis.
    point('encoder', 'pathwise', 16, 0.0),
    point('decoder', 'dreg', 1, 3.0),
  ]
  figures = plots.signal_to_noise('Gradient, {} parameters', points)
  assert list(figures) == ['decoder', 'encoder']
  (axes,) = figures['encoder'].axes
  assert axes.get_title() == 'Gradient, encoder parameters'
  assert (axes.get_xscale(), axes.get_yscale()) == ('log', 'log')
  lines = {x.get_label(): x.get_data() for x in axes.lines[::2]}
  np.testing.assert_allclose(lines['dreg'], [[1, 4], [1, 2]])
  np.testing.assert_allclose(lines['pathwise'], [[1, 4], [1, 0.5]])
