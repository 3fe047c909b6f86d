import numpy as np
import pytest
from PIL import Image

from vae_jax import plots
from vae_jax.plots import images


def pixels(path):
  with Image.open(path) as image:
    return np.asarray(image.convert('L'))


def test_tiles_lie_in_rows():
  x = np.arange(3.0).reshape(3, 1, 1, 1) / 10
  canvas = images._tile(x, 2)[..., 0]
  np.testing.assert_allclose(canvas, [[0.0, 1, 0.1], [1, 1, 1], [0.2, 1, 1]])


@pytest.mark.parametrize('channels', [1, 3])
def test_images_are_drawn(tmp_path, channels):
  x = np.zeros((4, 5, 6, channels))
  grid = plots.image_grid(tmp_path / 'a' / 'grid.png', 'Title', x, 2)
  rows = plots.image_rows(
    tmp_path / 'rows.png',
    'A title far too long for the width of two columns of images only',
    x.reshape(2, 2, *x.shape[1:]),
    rows=('x', 'y'),
    columns=('a', 'b'),
    label='below',
  )
  for path in (grid, rows):
    # Black images on white paper.
    assert (pixels(path) < 10).mean() > 0.2
    assert (pixels(path) > 245).mean() > 0.1


def test_a_row_is_drawn_as_a_row(tmp_path):
  x = np.ones((2, 3, 4, 4, 1))
  x[0] = 0
  black = pixels(plots.image_rows(tmp_path / 'r.png', '', x)) < 10
  rows, columns = black.any(axis=1), black.any(axis=0)
  # The first of two rows, as wide as the picture.
  assert 0.3 < rows.mean() < 0.6
  assert rows[: len(rows) // 2].sum() > rows[len(rows) // 2 :].sum()
  assert columns.mean() > 0.5
