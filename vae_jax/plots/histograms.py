"""Small histograms in a grid, beside the band that is expected."""

import math
from collections.abc import Mapping

import numpy as np

from vae_jax.plots.figure import Figure, new_figure
from vae_jax.plots.style import ACCENT, INK, MUTED, wrap

_COLUMNS = 5


def histograms(
  title: str,
  panels: Mapping[str, np.ndarray],
  expected: tuple[float, float],
) -> Figure:
  """Draws one histogram per panel.

  Args:
    title: Title of the figure.
    panels: Title of a panel -> number per bin, `[B]`; at least one.
    expected: Expected number per bin, and the half-width of its band.
  """
  columns = min(_COLUMNS, len(panels))
  rows = math.ceil(len(panels) / columns)
  width = max(6.5, 2 * columns)
  figure = new_figure(width, 1.5 * rows + 0.8)
  axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
  middle, half = expected
  for place, (name, numbers) in zip(axes.flat, panels.items(), strict=False):
    place.axhspan(middle - half, middle + half, color=MUTED, alpha=0.2)
    place.axhline(middle, color=INK, linewidth=0.8)
    place.bar(np.arange(len(numbers)), numbers, width=1.0, color=ACCENT)
    place.set_title(name, fontsize='x-small', color=INK)
    place.spines[['top', 'right']].set_visible(False)
    place.set_xticks([])
    place.tick_params(labelsize='x-small')
  for place in axes.flat[len(panels) :]:
    place.axis('off')
  figure.suptitle(wrap(title, width), fontsize='medium', color=INK)
  figure.supxlabel(
    'rank, from below all samples to above all', fontsize='small'
  )
  figure.supylabel('simulations', fontsize='small')
  return figure
