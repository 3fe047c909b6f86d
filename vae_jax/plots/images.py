"""Grids and tables of images, of any size and number of channels."""

import math
from collections.abc import Sequence

import numpy as np

from vae_jax.plots.figure import Axes, Figure, new_figure
from vae_jax.plots.style import INK, wrap

# Width of a figure in inches: a narrower one has no room for a title, and a
# wider one takes gigabytes to render.
_MIN_WIDTH, _MAX_WIDTH = 5.0, 20.0
# Longest side of a tile in pixels, and largest ratio of its two sides.
_MAX_SIDE, _MAX_RATIO = 128, 4
# Numbers of channels that have colours: grey, RGB and RGBA.
_COLOURS = (1, 3, 4)


def thumbnails(images: np.ndarray) -> np.ndarray:
  """Converts images to tiles of bounded size that can be shown.

  Sides longer than 128 pixels are averaged down; a side shorter than a quarter
  of the other is repeated. Images without 1, 3 or 4 channels become mosaics of
  their channels in grey. Other images are unchanged.

  Args:
    images: Images in [0, 1], `[N, H, W, C]`.

  Returns:
    `[N, h, w, c]` with h, w at most 128 and c in (1, 3, 4).
  """
  images = _reduce(np.asarray(images))
  channels = images.shape[-1]
  if channels not in _COLOURS:
    grey = np.moveaxis(images, -1, 1)[..., None]
    columns = math.ceil(math.sqrt(channels))
    mosaics = np.stack([_tile(image, columns) for image in grey])
    # The margin separates images more widely than the channels of one image.
    margin = 1 + max(mosaics.shape[1:3]) // 20
    sides = ((0, 0), (margin, margin), (margin, margin), (0, 0))
    images = _reduce(np.pad(mosaics, sides, constant_values=1.0))
  for axis, other in ((1, 2), (2, 1)):
    size, longer = images.shape[axis], images.shape[other]
    repeats = math.ceil(longer / (_MAX_RATIO * size))
    images = np.repeat(images, repeats, axis)
  return images


def _reduce(images: np.ndarray) -> np.ndarray:
  """Averages blocks of pixels, so that no side is longer than 128 pixels."""
  for axis in (1, 2):
    size = images.shape[axis]
    if size > _MAX_SIDE:
      ends = np.linspace(0, size, _MAX_SIDE + 1).astype(int)
      shape = [-1 if i == axis else 1 for i in range(4)]
      sums = np.add.reduceat(images, ends[:-1], axis)
      images = sums / np.diff(ends).reshape(shape)
  return images


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


def _size(picture: np.ndarray, height: float) -> tuple[float, float]:
  """Returns (width, height) in inches, `height` unless that is too wide."""
  width = height * picture.shape[1] / picture.shape[0]
  scale = min(1.0, _MAX_WIDTH / width)
  return max(_MIN_WIDTH, scale * width), scale * height


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
  tiles = thumbnails(images.reshape(-1, *images.shape[2:]))
  picture = _tile(tiles, images.shape[1])
  width, height = _size(picture, 0.75 * len(images))
  figure = new_figure(width, height + 0.8)
  axes = figure.subplots()
  _show(axes, picture)
  centres = lambda count, size: (np.arange(count) + 0.5) * (size + 1) - 1
  if rows:
    places = centres(images.shape[0], tiles.shape[1])
    axes.set_yticks(places, rows, color=INK)
  if columns:
    places = centres(images.shape[1], tiles.shape[2])
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
  picture = _tile(thumbnails(images), columns)
  width, height = _size(picture, 5.5)
  figure = new_figure(width, height + 0.5)
  axes = figure.subplots()
  _show(axes, picture)
  axes.set_title(wrap(title, width), color=INK)
  axes.set_xlabel(labels[0], color=INK)
  axes.set_ylabel(labels[1], color=INK)
  return figure
