"""Bar charts with error bars."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from vae_jax.plots.figure import Figure, new_figure
from vae_jax.plots.style import ACCENT, INK, MUTED, set_style, wrap

# With more bars than this, horizontal names would overlap: rotate them.
_MAX_HORIZONTAL = 20
# With more bars than this, rotated names would overlap: leave them out.
_MAX_NAMED = 60


class Bars(NamedTuple):
  """Bars of one colour.

  Attributes:
    places: Integer positions on the x axis, `[N]`.
    heights: Heights of the bars, `[N]`.
    errors: Length of the error bar on each side, `[N]`; or `[2, N]`, below
      and above.
  """

  places: np.ndarray
  heights: np.ndarray
  errors: np.ndarray


def bars(
  title: str,
  labels: tuple[str, str],
  groups: Mapping[str, Bars],
  names: list[str],
) -> Figure:
  """Draws named groups of bars.

  Args:
    title: Title of the figure.
    labels: Labels of the x and the y axis.
    groups: Group name -> bars, at most two groups, each with a colour of its
      own; an empty group is left out.
    names: Name of each bar, by position.
  """
  many = len(names) > _MAX_HORIZONTAL
  width = 6.5 + 2.5 * many
  figure = new_figure(width, 4.2)
  axes = figure.subplots()
  for (name, group), colour in zip(
    groups.items(), (MUTED, ACCENT), strict=False
  ):
    if not len(group.places):
      continue
    axes.bar(
      group.places,
      group.heights,
      yerr=group.errors,
      color=colour,
      error_kw={'ecolor': INK, 'elinewidth': 0.8},
      label=name,
    )
  shown = names if len(names) <= _MAX_NAMED else []
  axes.set_xticks(
    range(len(shown)), shown, fontsize='small', rotation=90 if many else 0
  )
  axes.set_xlabel(labels[0])
  axes.set_ylabel(labels[1])
  set_style(axes, wrap(title, width))
  axes.grid(visible=False, axis='x')
  axes.legend(frameon=False, fontsize='small')
  return figure
