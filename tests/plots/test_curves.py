import numpy as np
from PIL import Image

from vae_jax import plots


def pixels(path):
  with Image.open(path) as image:
    return np.asarray(image.convert('L'))


def test_learning_curve_shows_every_split(tmp_path):
  path = tmp_path / 'curve.png'
  curves = {'train': ([1, 2], [-9.0, -8.0])}
  dark = []
  # A third line as well: two bounds may be climbed at once.
  for name in ('validation', 'one', 'more'):
    plots.learning_curve(path, 'bound', curves)
    dark.append((pixels(path) < 200).sum())
    curves[name] = [1, 2], [-9.0, -8.0 + len(curves) / 10]
  assert dark[0] < dark[1] < dark[2]


def test_one_epoch_can_be_drawn(tmp_path):
  plots.learning_curve(tmp_path / 'c.png', 'bound', {'train': ([1], [-9.0])})


def test_error_bars_are_as_long_as_the_errors(tmp_path):
  path = tmp_path / 'errors.png'
  dark = []
  for error in (0.001, 1.0):
    points = {1: (9.0, error), 10: (5.0, error), 500: (4.0, error)}
    plots.error_bars(path, 'Title', ('K', 'NLL'), points)
    dark.append((pixels(path) < 150).sum())
  assert dark[1] > dark[0] + 100
