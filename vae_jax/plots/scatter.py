"""Scatter plots of labelled points."""

from collections.abc import Sequence

import numpy as np

from vae_jax.plots.figure import Axes, Figure, new_figure
from vae_jax.plots.style import PALETTE, plain, set_style, wrap

_OTHER = '#dddddd'
# With more ticks than this, their names would overlap: leave them out.
_MAX_TICKS = 40


def scatter(
  title: str,
  labels: tuple[str, str],
  points: np.ndarray,
  classes: np.ndarray,
  *,
  rows: Sequence[str] = (),
) -> Figure:
  """Draws points coloured by class.

  Up to ten numeric classes are drawn as digits, which also serves readers who
  cannot distinguish the colours. Other classes get a legend; the points beyond
  the ten most frequent classes are grey. Real numbers get a colour bar.

  Args:
    title: Title of the figure.
    labels: Labels of the x and the y axis.
    points: Coordinates, `[N, 2]`.
    classes: Class of each point, `[N]`.
    rows: Names of y = 0, 1, 2, ... if the y axis is categorical.
  """
  figure = new_figure(6.8, 6)
  axes = figure.subplots()
  size = 40 if len(points) <= 1000 else 20
  if classes.dtype.kind == 'f':
    x, y = points.T
    drawn = axes.scatter(x, y, size, classes, linewidths=0)
    figure.colorbar(drawn, ax=axes, label='label')
  elif not _draw_classes(axes, points, classes, size):
    figure.legend(loc='outside right center', frameon=False)
  if 0 < len(rows) <= _MAX_TICKS:
    names = [plain(name) for name in rows]
    axes.set_yticks(range(len(rows)), names, fontsize='small')
  axes.set_xlabel(labels[0])
  axes.set_ylabel(labels[1])
  set_style(axes, wrap(title, 6.0))
  return figure


def _draw_classes(
  axes: Axes, points: np.ndarray, classes: np.ndarray, size: int
) -> bool:
  """Draws the ten most frequent classes; returns whether as digits."""
  values, index, counts = np.unique(
    classes, return_inverse=True, return_counts=True
  )
  shown = np.sort(np.argsort(-counts, kind='stable')[: len(PALETTE)])
  is_other = ~np.isin(index, shown)
  numbers = not is_other.any() and all(str(v).isdecimal() for v in values)
  if is_other.any():
    label = f'{len(values) - len(shown)} other classes'
    x, y = points[is_other].T
    axes.scatter(x, y, size, _OTHER, linewidths=0, label=label)
  for i, colour in zip(shown, PALETTE, strict=False):
    name = plain(str(values[i]))
    marker = f'${name}$' if numbers else 'o'
    x, y = points[index == i].T
    axes.scatter(x, y, size, colour, marker=marker, linewidths=0, label=name)
  return numbers
