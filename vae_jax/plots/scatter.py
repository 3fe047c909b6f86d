"""Scatter plots of labelled points."""

import numpy as np
from matplotlib.figure import Figure

from vae_jax.plots.style import PALETTE, set_style, wrap


def scatter(
  title: str,
  labels: tuple[str, str],
  points: np.ndarray,
  classes: np.ndarray,
) -> Figure:
  """Draws points coloured by class.

  Up to ten numeric classes are drawn as digits, which also serves readers who
  cannot distinguish the colours. Up to ten other classes get a legend; more
  than ten classes get a colour bar.

  Args:
    title: Title of the figure.
    labels: Labels of the x and the y axis.
    points: Coordinates, `[N, 2]`.
    classes: Class of each point, `[N]`.
  """
  figure = Figure(figsize=(6.8, 6), layout='constrained')
  axes = figure.subplots()
  values, index = np.unique(classes, return_inverse=True)
  # matplotlib would parse an unescaped dollar sign as the start of a formula.
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
  set_style(axes, wrap(title, 6.0))
  return figure
