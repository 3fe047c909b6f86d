"""Line plots: curves, learning curves, curves with error bars."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from vae_jax.plots.figure import Figure, new_figure
from vae_jax.plots.style import ACCENT, MUTED, PALETTE, set_style

# A legend of more names would cover the lines: it goes beside the axes.
_LEGEND_INSIDE = 4

# (x, y)
Line = tuple[Sequence[float], Sequence[float]]


def curves(
  title: str,
  labels: tuple[str, str],
  lines: Mapping[str, Line],
  *,
  points: Mapping[str, Line] | None = None,
  scales: tuple[str, str] = ('linear', 'linear'),
  ticks: Sequence[str] = (),
) -> Figure:
  """Draws named lines, and dots in the colour of the line of the same name.

  Args:
    title: Title of the figure.
    labels: Labels of the x and the y axis.
    lines: Name -> (x, y), drawn as a line, such as exact values.
    points: Name -> (x, y), drawn as dots, such as measured values.
    scales: Scales of the two axes, each 'linear', 'log' or 'symlog'.
    ticks: Names of x = 0, 1, 2, ... if the x axis is categorical.
  """
  points = points or {}
  width = 6.5 + 2.2 * (len({*lines, *points}) > _LEGEND_INSIDE)
  figure = new_figure(width, 4.2 + bool(ticks))
  axes = figure.subplots()
  names = list(dict.fromkeys([*lines, *points]))
  for i, name in enumerate(names):
    colour = PALETTE[i % len(PALETTE)]
    if name in lines:
      axes.plot(*lines[name], color=colour, label=name)
    if name in points:
      label = None if name in lines else name
      axes.plot(*points[name], 'o', color=colour, markersize=4, label=label)
  axes.set_xscale(scales[0])
  axes.set_yscale(scales[1])
  axes.set_xlabel(labels[0])
  axes.set_ylabel(labels[1])
  if ticks:
    axes.set_xticks(range(len(ticks)), ticks, rotation=90, fontsize='small')
  set_style(axes, title)
  if len(names) <= _LEGEND_INSIDE:
    axes.legend(frameon=False, fontsize='small')
  else:
    figure.legend(loc='outside right center', frameon=False, fontsize='small')
  return figure


def learning_curve(
  name: str,
  splits: Mapping[str, Line],
) -> Figure:
  """Draws a bound in nats per example against the epoch; higher is better.

  Args:
    name: Name of the bound.
    splits: Split -> (epochs, values).
  """
  figure = new_figure(6.5, 4)
  axes = figure.subplots()
  colours = itertools.cycle((MUTED, ACCENT, *PALETTE))
  for (split, (epochs, values)), colour in zip(
    splits.items(), colours, strict=False
  ):
    marker = 'o' if len(epochs) < 3 else None
    axes.plot(epochs, values, color=colour, label=split, marker=marker)
  shown = np.concatenate([values for _, values in splits.values()])
  # The bound rises steeply in the first epochs. With the lowest 2% off the
  # axis, the later epochs remain readable.
  lowest = 2 if len(shown) > 20 else 0
  low, high = np.percentile(shown, [lowest, 100])
  margin = 0.05 * (high - low) or 1.0
  axes.set_ylim(low - margin, high + margin)
  axes.locator_params(axis='x', integer=True)
  axes.set_xlabel('epoch')
  axes.set_ylabel(f'{name} (nats per example)')
  set_style(axes, 'Learning curve')
  axes.legend(frameon=False)
  return figure


def error_bars(
  title: str,
  labels: tuple[str, str],
  points: Mapping[int, tuple[float, float]],
) -> Figure:
  """Draws a curve with error bars on a logarithmic x axis.

  Args:
    title: Title of the figure.
    labels: Labels of the x and the y axis.
    points: x -> (mean, standard error).
  """
  figure = new_figure(6.5, 4.2)
  axes = figure.subplots()
  means, errors = np.transpose(list(points.values()))
  axes.errorbar(list(points), means, errors, fmt='o-', color=MUTED, capsize=4)
  axes.set_xscale('log')
  # Label each x: 500 and 5000 are not ticks of a logarithmic axis.
  axes.set_xticks(list(points), [f'{x:,}' for x in points], minor=False)
  axes.minorticks_off()
  axes.set_xlabel(labels[0])
  axes.set_ylabel(labels[1])
  set_style(axes, title)
  return figure
