"""Curves through numbers."""

import itertools
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from vae_jax.plots.paper import ACCENT, MUTED, PALETTE, dress, save

_LEGEND_INSIDE = 4

Line = tuple[Sequence[float], Sequence[float]]


def curves(
  path: pathlib.Path,
  title: str,
  labels: tuple[str, str],
  lines: Mapping[str, Line],
  *,
  points: Mapping[str, Line] | None = None,
  scales: tuple[str, str] = ('linear', 'linear'),
  ticks: Sequence[str] = (),
) -> pathlib.Path:
  """Draws named lines, and points of the same names over them.

  Args:
    path: the PNG file.
    title: of the figure.
    labels: of the two axes.
    lines: name -> (x, y), drawn through: what is exact, or the one measured.
    points: name -> (x, y), drawn as dots: what was measured against a line.
    scales: of the two axes, each 'linear', 'log' or 'symlog'.
    ticks: names of x = 0, 1, 2, ..., where these are no numbers.
  """
  points = points or {}
  width = 6.5 + 2.2 * (len({*lines, *points}) > _LEGEND_INSIDE)
  figure = Figure(figsize=(width, 4.2 + bool(ticks)), layout='constrained')
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
  dress(axes, title)
  if len(names) <= _LEGEND_INSIDE:
    axes.legend(frameon=False, fontsize='small')
  else:
    # So many names would cover the lines.
    figure.legend(loc='outside right center', frameon=False, fontsize='small')
  return save(figure, path)


def learning_curve(
  path: pathlib.Path,
  name: str,
  splits: Mapping[str, Line],
) -> pathlib.Path:
  """Draws each split's (epochs, values), in nats, upwards is better."""
  figure = Figure(figsize=(6.5, 4), layout='constrained')
  axes = figure.subplots()
  colours = itertools.cycle((MUTED, ACCENT, *PALETTE))
  for (split, (epochs, values)), colour in zip(
    splits.items(), colours, strict=False
  ):
    marker = 'o' if len(epochs) < 3 else None
    axes.plot(epochs, values, color=colour, label=split, marker=marker)
  # The first epochs fall off a cliff; what follows is what one looks at.
  shown = np.concatenate([values for _, values in splits.values()])
  low, high = (
    np.percentile(shown, [2, 100])
    if len(shown) > 20
    else (
      shown.min(),
      shown.max(),
    )
  )
  margin = 0.05 * (high - low) or 1.0
  axes.set_ylim(low - margin, high + margin)
  axes.set_xlabel('epoch')
  axes.set_ylabel(f'{name} (nats an example)')
  dress(axes, 'Learning curve')
  axes.legend(frameon=False)
  return save(figure, path)


def error_bars(
  path: pathlib.Path,
  title: str,
  labels: tuple[str, str],
  points: Mapping[int, tuple[float, float]],
) -> pathlib.Path:
  """Draws x -> (mean, standard error) as a curve, x on a log axis."""
  figure = Figure(figsize=(6.5, 4.2), layout='constrained')
  axes = figure.subplots()
  means, errors = np.transpose(list(points.values()))
  axes.errorbar(list(points), means, errors, fmt='o-', color=MUTED, capsize=4)
  axes.set_xscale('log')
  # 500 and 5000 stand beside the powers of ten.
  axes.set_xticks(list(points), [f'{x:,}' for x in points], minor=False)
  axes.minorticks_off()
  axes.set_xlabel(labels[0])
  axes.set_ylabel(labels[1])
  dress(axes, title)
  return save(figure, path)
