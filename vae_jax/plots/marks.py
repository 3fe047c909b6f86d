"""Bars, and points of several classes."""

import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vae_jax.plots.paper import ACCENT, INK, MUTED, PALETTE, dress, save, wrap

# More names below the bars would run into one another.
_NAMED = 40


class Bars(NamedTuple):
  """Bars of one colour, `[N]` each.

  Attributes:
    places: the integers they stand at.
    heights: of them.
    errors: to either side of a height.
  """

  places: np.ndarray
  heights: np.ndarray
  errors: np.ndarray


def bars(
  path: pathlib.Path,
  title: str,
  labels: tuple[str, str],
  groups: Mapping[str, Bars],
  names: list[str],
) -> pathlib.Path:
  """Draws named groups of bars, the name of each bar below it."""
  width = 6.5 + 2.5 * (len(names) > _NAMED // 2)
  figure = Figure(figsize=(width, 4.2), layout='constrained')
  axes = figure.subplots()
  for (name, group), colour in zip(
    groups.items(), (MUTED, ACCENT), strict=False
  ):
    axes.bar(
      group.places,
      group.heights,
      yerr=group.errors,
      color=colour,
      error_kw={'ecolor': INK, 'elinewidth': 0.8},
      label=name,
    )
  small = 'small' if len(names) <= _NAMED // 2 else 'x-small'
  shown = names if len(names) <= _NAMED else []
  axes.set_xticks(range(len(shown)), shown, fontsize=small)
  axes.set_xlabel(labels[0])
  axes.set_ylabel(labels[1])
  dress(axes, wrap(title, width))
  axes.grid(visible=False, axis='x')
  axes.legend(frameon=False, fontsize='small')
  return save(figure, path)


def scatter(
  path: pathlib.Path,
  title: str,
  labels: tuple[str, str],
  points: np.ndarray,
  classes: np.ndarray,
) -> pathlib.Path:
  """Draws `[N, 2]` points in the colour of their class, `[N]`.

  Up to ten classes are also named where most of their points lie; more have
  a scale beside the figure.
  """
  figure = Figure(figsize=(6.8, 6), layout='constrained')
  axes = figure.subplots()
  names, index = np.unique(classes, return_inverse=True)
  size = 14 if len(points) <= 1000 else 7
  if len(names) <= len(PALETTE):
    for i, name in enumerate(names):
      own = points[index == i]
      colour = PALETTE[i]
      axes.scatter(
        own[:, 0], own[:, 1], s=size, color=colour, alpha=0.75, linewidths=0
      )
      x, y = np.median(own, axis=0)
      _name(axes, str(name), (x, y), colour)
  else:
    drawn = axes.scatter(
      points[:, 0], points[:, 1], s=size, c=index, linewidths=0
    )
    ticks = np.linspace(0, len(names) - 1, 6).astype(int)
    scale = figure.colorbar(drawn, ax=axes, label='label', ticks=ticks)
    scale.ax.set_yticklabels([str(name) for name in names[ticks]])
  axes.set_xlabel(labels[0])
  axes.set_ylabel(labels[1])
  dress(axes, wrap(title, 6.0))
  return save(figure, path)


def _name(
  axes: Axes, name: str, place: tuple[float, float], colour: str
) -> None:
  # A light edge, so that the letters stand off the points.
  halo = [patheffects.withStroke(linewidth=3, foreground='white')]
  axes.annotate(
    name,
    place,
    color=INK,
    size=13,
    weight='bold',
    ha='center',
    va='center',
    path_effects=halo,
    bbox={'boxstyle': 'circle', 'facecolor': 'white', 'edgecolor': colour},
  )
