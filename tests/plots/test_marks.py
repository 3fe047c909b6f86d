import numpy as np
import pytest
from PIL import Image, ImageColor

from vae_jax import plots
from vae_jax.plots import paper


def colours(path):
  """How many pixels each colour has."""
  with Image.open(path) as image:
    return {
      f'#{r:02x}{g:02x}{b:02x}': count
      for count, (r, g, b) in image.convert('RGB').getcolors(2**24)
    }


def test_groups_of_bars_differ_in_colour(tmp_path):
  one, other = (
    plots.Bars(np.array([place]), np.array([height]), np.array([0.1]))
    for place, height in ((0, 4.0), (1, 2.0))
  )
  groups = {'active': one, 'dead': other}
  path = tmp_path / 'bars.png'
  plots.bars(path, 'Title', ('x', 'y'), groups, ['7', '3'])
  seen = colours(path)
  ratio = seen[paper.MUTED] / seen[paper.ACCENT]
  assert 1.8 < ratio < 2.2


@pytest.mark.parametrize('count', [50, 200])
def test_many_bars_can_be_drawn(tmp_path, count):
  ones = np.ones(count)
  groups = {'active': plots.Bars(np.arange(count), ones, 0.1 * ones)}
  names = [str(i) for i in range(count)]
  path = plots.bars(tmp_path / 'b.png', 'Title', ('x', 'y'), groups, names)
  assert colours(path)[paper.MUTED] > 1000


# The last of these would be a formula, and a wrong one.
@pytest.mark.parametrize(
  'classes', [np.array([3, 7]), np.array(['<_b&', 'a $\\frac$'])]
)
def test_each_class_has_its_colour_and_place(tmp_path, classes):
  points = np.random.RandomState(0).uniform(size=(60, 2))
  points[20:, 0] += 1.2
  path = tmp_path / 'scatter.png'
  which = np.repeat(classes, (20, 40))
  plots.scatter(path, 'Title', ('x', 'y'), points, which)
  with Image.open(path) as image:
    # Without the legend on the right.
    picture = np.asarray(image.convert('RGB'))[:, : image.width * 3 // 4]
  left, right, none = (
    np.flatnonzero(
      (picture == list(ImageColor.getrgb(colour))).all(axis=-1).any(axis=0)
    )
    for colour in paper.PALETTE[:3]
  )
  assert left.max() < right.min()
  assert len(none) == 0


def test_more_classes_than_colours_have_a_scale(tmp_path):
  points = np.random.RandomState(0).normal(size=(60, 2))
  for classes in (np.arange(60), np.array([f'${i}' for i in range(60)])):
    path = tmp_path / 'scatter.png'
    plots.scatter(path, 'Title', ('x', 'y'), points, classes)
    # As many as viridis has.
    assert len(colours(path)) > 200
