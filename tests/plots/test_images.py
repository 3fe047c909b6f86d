import numpy as np
import pytest
from PIL import Image

from vae_jax import plots


def pixels(path):
  with Image.open(path) as image:
    return np.asarray(image.convert('L'))


def test_tiles_lie_in_rows():
  images = np.arange(3.0).reshape(3, 1, 1, 1) / 10
  canvas = plots._tile(images, 2, gap=1)[..., 0]
  np.testing.assert_allclose(canvas, [[0.0, 1, 0.1], [1, 1, 1], [0.2, 1, 1]])


@pytest.mark.parametrize('channels', [1, 3])
def test_images_are_drawn(tmp_path, channels):
  images = np.zeros((4, 5, 6, channels))
  grid = plots.image_grid(tmp_path / 'a' / 'grid.png', 'Title', images, 2)
  rows = plots.image_rows(
    tmp_path / 'rows.png', 'T', {'x': images, 'y': images}
  )
  for path in (grid, rows):
    # Black images on white paper.
    assert (pixels(path) < 10).mean() > 0.2
    assert (pixels(path) > 245).mean() > 0.1


def test_learning_curve_shows_every_split(tmp_path):
  path = tmp_path / 'curve.png'
  curves = {'train': ([1, 2], [-9.0, -8.0]), 'validation': ([1, 2], [-9.5, -9])}
  plots.learning_curve(path, 'ELBO', curves)
  both = (pixels(path) < 200).sum()
  plots.learning_curve(path, 'ELBO', {'train': ([1, 2], [-9.0, -8.0])})
  assert (pixels(path) < 200).sum() < both


def test_one_epoch_can_be_drawn(tmp_path):
  plots.learning_curve(tmp_path / 'c.png', 'ELBO', {'train': ([1], [-9.0])})
