"""Grids and tables of images."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vae_jax.plots.style import INK, wrap

# Minimum width of a figure in inches; a narrower one has no room for a title.
_MIN_WIDTH = 5.0


def _tile(images: np.ndarray, columns: int, gap: int = 1) -> np.ndarray:
  """Arranges `[N, H, W, C]` as one image, `gap` white pixels between tiles."""
  count, height, width, channels = images.shape
  rows = -(-count // columns)
  canvas = np.ones(
    (rows * (height + gap) - gap, columns * (width + gap) - gap, channels)
  )
  for i, image in enumerate(images):
    top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
    canvas[top : top + height, left : left + width] = image
  return canvas


def _show(axes: Axes, picture: np.ndarray) -> None:
  picture = picture[..., 0] if picture.shape[-1] == 1 else picture
  axes.imshow(picture, cmap='gray', vmin=0, vmax=1, interpolation='nearest')
  axes.set_xticks([])
  axes.set_yticks([])
  for spine in axes.spines.values():
    spine.set_visible(False)


def _width(picture: np.ndarray, height: float) -> float:
  return height * picture.shape[1] / picture.shape[0]


def image_rows(
  title: str,
  images: np.ndarray,
  *,
  rows: Sequence[str] = (),
  columns: Sequence[str] = (),
  label: str = '',
) -> Figure:
  """Draws a table of images.

  Args:
    title: Title of the figure.
    images: Images in [0, 1], `[R, N, H, W, C]`.
    rows: Names of the R rows, on the left; () for none.
    columns: Names of the N columns, on top; () for none.
    label: Label of the column names.
  """
  picture = _tile(images.reshape(-1, *images.shape[2:]), images.shape[1])
  height = 0.75 * len(images)
  width = max(_MIN_WIDTH, _width(picture, height))
  figure = Figure(figsize=(width, height + 0.8), layout='constrained')
  axes = figure.subplots()
  _show(axes, picture)
  centres = lambda count, size: (np.arange(count) + 0.5) * (size + 1) - 1
  if rows:
    places = centres(images.shape[0], images.shape[2])
    axes.set_yticks(places, rows, color=INK)
  if columns:
    places = centres(images.shape[1], images.shape[3])
    axes.set_xticks(places, columns, color=INK, fontsize='small')
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position('top')
  axes.tick_params(length=0)
  axes.set_xlabel(label, color=INK)
  axes.set_title(wrap(title, width), color=INK)
  return figure


def image_grid(
  title: str,
  images: np.ndarray,
  columns: int,
  *,
  labels: tuple[str, str] = ('', ''),
) -> Figure:
  """Draws images as a grid.

  Args:
    title: Title of the figure.
    images: Images in [0, 1], `[N, H, W, C]`.
    columns: Number of images per row.
    labels: Labels of the x and the y axis.
  """
  picture = _tile(images, columns)
  width = max(_MIN_WIDTH, _width(picture, 5.5))
  figure = Figure(figsize=(width, 6), layout='constrained')
  axes = figure.subplots()
  _show(axes, picture)
  axes.set_title(wrap(title, width), color=INK)
  axes.set_xlabel(labels[0], color=INK)
  axes.set_ylabel(labels[1], color=INK)
  return figure
