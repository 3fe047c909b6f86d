import matplotlib.colors
import numpy as np
import pytest

from vae_jax import plots
from vae_jax.plots.style import PALETTE

POINTS = np.random.RandomState(0).uniform(size=(60, 2))


@pytest.mark.parametrize(
  'classes', [np.array([3, 7]), np.array(['<_b&', 'a $\\frac$'])]
)
def test_each_class_has_its_colour_and_points(classes):
  labels = np.repeat(classes, (20, 40))
  figure = plots.scatter('Title', ('x', 'y'), POINTS, labels)
  (axes,) = figure.axes
  parts = POINTS[:20], POINTS[20:]
  for drawn, points, colour in zip(
    axes.collections, parts, PALETTE[:2], strict=True
  ):
    np.testing.assert_array_equal(drawn.get_offsets(), points)
    (found,) = drawn.get_facecolors()
    assert matplotlib.colors.to_hex(found) == colour
  numeric = classes.dtype.kind == 'i'
  assert len(figure.legends) == (not numeric)
  # Raises if a name is parsed as a formula.
  figure.draw_without_rendering()


def test_numeric_classes_are_drawn_as_digits():
  drawn = {}
  for number in (3, 7):
    labels = np.full(60, number)
    (axes,) = plots.scatter('Title', ('x', 'y'), POINTS, labels).axes
    (path,) = axes.collections[0].get_paths()
    drawn[number] = path.vertices
  assert drawn[3].shape != drawn[7].shape


@pytest.mark.parametrize(
  'classes', [np.arange(60), np.array([f'${i:02d}' for i in range(60)])]
)
def test_more_than_ten_classes_have_a_colour_bar(classes):
  figure = plots.scatter('Title', ('x', 'y'), POINTS, classes)
  axes, scale = figure.axes
  (drawn,) = axes.collections
  np.testing.assert_array_equal(drawn.get_array(), np.arange(60))
  names = [label.get_text() for label in scale.get_yticklabels()]
  assert [name.replace('\\', '') for name in names] == [
    str(classes[i]) for i in (0, 11, 23, 35, 47, 59)
  ]
  figure.draw_without_rendering()
