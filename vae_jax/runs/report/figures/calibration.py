"""Figure of the rank histograms of simulation-based calibration."""

import numpy as np

from vae_jax import plots
from vae_jax.evaluate import Calibration
from vae_jax.runs.report.figures.drawn import Drawn

# More panels could not be read.
_MAX_PANELS = 20


def rank_histograms(found: Calibration) -> Drawn:
  """Draws the histogram of each unit, the least uniform ones first.

  Args:
    found: ranks of simulated z.
  """
  order = np.argsort(found.p_values, kind='stable')[:_MAX_PANELS]
  total, bins = len(found.ranks), found.histogram.shape[1]
  deviation = np.sqrt(total * (1 / bins) * (1 - 1 / bins))
  words = '' if len(order) == len(found.p_values) else ', the least uniform'
  figure = plots.histograms(
    f'Rank of z among {found.num_draws} samples of q(z|x), {total} simulated '
    f'x: {len(order)} of {len(found.p_values)} units{words}',
    {
      f'z[{unit}], p = {found.p_values[unit]:.2g}': found.histogram[unit]
      for unit in order
    },
    (total / bins, 3 * deviation),
  )
  return Drawn(
    'calibration',
    figure,
    'Ranks are uniform, within the band of three standard deviations, if '
    'q(z|x) is the posterior. High at both ends: q is too narrow; high in the '
    'middle: too wide; a slope: shifted.',
  )
