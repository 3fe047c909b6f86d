"""Rows of numbers with error bars: one panel per number, one row per name."""

from collections.abc import Mapping, Sequence

import numpy as np

from vae_jax.plots.figure import Figure, new_figure
from vae_jax.plots.style import ACCENT, INK, MUTED, plain, set_style, wrap


def intervals(
  title: str,
  names: Sequence[str],
  panels: Mapping[str, tuple[Sequence[float], Sequence[float]]],
) -> Figure:
  """Draws values with error bars; the first row is the reference.

  Args:
    title: Title of the figure.
    names: Name of each row, from the top.
    panels: Label of a panel -> (values, errors), one per row; nan is left out,
      and an error of nan is not drawn.
  """
  width = 3.0 + 2.6 * len(panels)
  height = 1.4 + 0.34 * len(names)
  figure = new_figure(width, height)
  every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
  rows = np.arange(len(names))
  for axes, (label, (values, errors)) in zip(
    every, panels.items(), strict=True
  ):
    colours = [INK, *[MUTED] * (len(names) - 1)]
    for row, value, error, colour in zip(
      rows, values, errors, colours, strict=True
    ):
      known = error if np.isfinite(error) else None
      axes.errorbar(
        value, row, xerr=known, fmt='o', color=colour, markersize=5, capsize=3
      )
    axes.set_xlabel(label)
    set_style(axes, '')
    axes.margins(x=0.15)
    axes.locator_params(axis='x', nbins=4)
    if 'difference' in label:
      axes.axvline(0, color=ACCENT, linewidth=0.8)
  every[0].set_yticks(rows, [plain(name, 48) for name in names])
  every[0].set_ylim(len(names) - 0.5, -0.5)
  figure.suptitle(wrap(title, width), color=INK)
  return figure
