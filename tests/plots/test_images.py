import io

import numpy as np
import pytest
from PIL import Image

from vae_jax import plots
from vae_jax.plots import images


def shown(figure):
  """Returns the axes of a figure and the array that it shows."""
  (axes,) = figure.axes
  (image,) = axes.images
  assert image.get_clim() == (0, 1)
  return axes, np.asarray(image.get_array())


def test_tiles_fill_row_by_row():
  x = np.arange(3.0).reshape(3, 1, 1, 1) / 10
  canvas = images._tile(x, 2)[..., 0]
  np.testing.assert_allclose(canvas, [[0.0, 1, 0.1], [1, 1, 1], [0.2, 1, 1]])


@pytest.mark.parametrize('channels', [1, 3])
def test_images_are_shown_in_grids_and_tables(channels):
  x = np.random.RandomState(0).uniform(size=(4, 5, 6, channels))
  labels = ('left', 'below')
  grid, found = shown(plots.image_grid('Title', x, 2, labels=labels))
  tiles = images._tile(x, 2)
  exact = tiles[..., 0] if channels == 1 else tiles
  np.testing.assert_array_equal(found, exact)
  assert (grid.get_title(), grid.get_xlabel(), grid.get_ylabel()) == (
    *('Title', *labels),
  )
  _, found = shown(plots.image_rows('Title', x.reshape(2, 2, *x.shape[1:])))
  np.testing.assert_array_equal(found, exact)


def test_row_and_column_names_are_centred_on_their_images():
  x = np.ones((2, 3, 4, 6, 1))
  names = {'rows': ('x', 'y'), 'columns': ('a', 'b', 'c'), 'label': 'top'}
  axes, _ = shown(plots.image_rows('', x, **names))
  # Images of 4 x 6 pixels and a gap of 1.
  np.testing.assert_allclose(axes.get_yticks(), [1.5, 6.5])
  np.testing.assert_allclose(axes.get_xticks(), [2.5, 9.5, 16.5])
  for labels, name in (
    (axes.get_yticklabels(), 'rows'),
    (axes.get_xticklabels(), 'columns'),
  ):
    assert tuple(label.get_text() for label in labels) == names[name]
  assert axes.get_xlabel() == 'top'
  assert axes.xaxis.get_label_position() == 'top'


@pytest.mark.parametrize('channels', [2, 5, 32])
def test_channels_that_are_not_colours_are_grey_tiles(channels):
  x = np.random.RandomState(0).uniform(size=(3, 6, 5, channels))
  tiles = plots.thumbnails(x)
  columns = int(np.ceil(np.sqrt(channels)))
  rows = -(-channels // columns)
  height, width = rows * 7 - 1, columns * 6 - 1
  margin = 1 + max(height, width) // 20
  assert tiles.shape == (3, height + 2 * margin, width + 2 * margin, 1)
  for c in range(channels):
    top, left = margin + c // columns * 7, margin + c % columns * 6
    part = tiles[:, top : top + 6, left : left + 5, 0]
    np.testing.assert_array_equal(part, x[..., c])
  inside = (tiles < 1).sum()
  assert inside == x.size
  shown(plots.image_grid('Title', x, 2))
  shown(
    plots.image_rows('Title', x[None], rows=('a',), columns=('b', 'c', 'd'))
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  'size', [(1, 10_000), (10_000, 1), (3, 1000), (900, 700), (129, 5), (1, 1)]
)
@pytest.mark.parametrize('channels', [1, 7])
def test_figures_of_images_of_any_size_are_bounded(size, channels):
  x = np.broadcast_to(
    np.linspace(0, 1, size[1])[:, None], (16, *size, channels)
  )
  tiles = plots.thumbnails(x)
  height, width = tiles.shape[1:3]
  assert max(height, width) <= 128
  assert max(height, width) <= 4 * min(height, width)
  np.testing.assert_array_equal(plots.thumbnails(tiles), tiles)
  for figure in (
    plots.image_grid('Title', x, 8),
    plots.image_rows('Title', x[None]),
  ):
    _, found = shown(figure)
    assert max(found.shape) <= 16 * 129
    assert max(figure.get_size_inches()) <= 25


def test_long_sides_are_averaged_and_short_ones_repeated():
  x = np.arange(512.0).reshape(1, 1, 512, 1)
  tiles = plots.thumbnails(x)
  assert tiles.shape == (1, 32, 128, 1)
  means = np.arange(512.0).reshape(128, 4).mean(axis=1)
  np.testing.assert_allclose(tiles[0, ..., 0], np.tile(means, (32, 1)))
  small = np.random.RandomState(0).uniform(size=(2, 28, 100, 3))
  np.testing.assert_array_equal(plots.thumbnails(small), small)


def test_rendered_rows_are_black_on_white_and_below_a_wrapped_title():
  x = np.ones((2, 3, 4, 4, 1))
  x[0] = 0
  title = 'A title far too long for the width of three columns of images only'
  png = plots.to_png(plots.image_rows(title, x))
  with Image.open(io.BytesIO(png)) as image:
    pixels = np.asarray(image.convert('L'))
  black = pixels < 10
  assert (pixels > 245).mean() > 0.1
  # The first of two rows, as wide as the figure, and two lines of title.
  rows = black.mean(axis=1) > 0.4
  assert 0.2 < rows.mean() < 0.5
  assert rows[: len(rows) // 2].sum() > rows[len(rows) // 2 :].sum()
