"""Bars, and points of several classes."""

import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from vae_jax.plots.paper import ACCENT, INK, MUTED, PALETTE, dress, save, wrap

# More names below the bars would run into one another, lying or standing.
_UPRIGHT = 20
_NAMED = 60


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
  many = len(names) > _UPRIGHT
  width = 6.5 + 2.5 * many
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
  shown = names if len(names) <= _NAMED else []
  axes.set_xticks(
    range(len(shown)), shown, fontsize='small', rotation=90 if many else 0
  )
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

  Up to ten that are numbers are drawn as these, so that colour is not all that
  tells them apart; other names stand in a legend, more than ten on a scale.
  """
  figure = Figure(figsize=(6.8, 6), layout='constrained')
  axes = figure.subplots()
  values, index = np.unique(classes, return_inverse=True)
  # A dollar sign would begin a formula.
  names = [str(value).replace('$', r'\$') for value in values]
  size = 40 if len(points) <= 1000 else 20
  if len(names) <= len(PALETTE):
    numbers = all(name.isdecimal() for name in names)
    for i, (name, colour) in enumerate(zip(names, PALETTE, strict=False)):
      x, y = points[index == i].T
      marker = f'${name}$' if numbers else 'o'
      axes.scatter(x, y, size, colour, marker=marker, linewidths=0, label=name)
    if not numbers:
      figure.legend(loc='outside right center', frameon=False)
  else:
    drawn = axes.scatter(points[:, 0], points[:, 1], size, index, linewidths=0)
    ticks = np.linspace(0, len(names) - 1, 6).astype(int)
    scale = figure.colorbar(drawn, ax=axes, label='label', ticks=ticks)
    scale.ax.set_yticklabels([names[i] for i in ticks])
  axes.set_xlabel(labels[0])
  axes.set_ylabel(labels[1])
  dress(axes, wrap(title, 6.0))
  return save(figure, path)
