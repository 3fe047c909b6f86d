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
  'form', ['{}', 'class ${}\udc80\n of a name ' + 'x' * 99]
)
def test_of_many_classes_the_ten_most_frequent_have_names(form):
  # Classes have no order that a colour bar could show.
  numbers = np.concatenate([np.repeat(np.arange(90, 100), 3), np.arange(30)])
  labels = np.array([form.format(n) for n in numbers])
  figure = plots.scatter('Title', ('x', 'y'), POINTS, labels)
  (axes,) = figure.axes
  other, *named = axes.collections
  np.testing.assert_array_equal(other.get_offsets(), POINTS[30:])
  for i, drawn in enumerate(named):
    np.testing.assert_array_equal(
      drawn.get_offsets(), POINTS[3 * i : 3 * i + 3]
    )
  assert len({tuple(x.get_facecolors()[0]) for x in named}) == 10
  (legend,) = figure.legends
  texts = [text.get_text() for text in legend.get_texts()]
  assert texts[0] == '30 other classes'
  for text, number in zip(texts[1:], range(90, 100), strict=True):
    assert str(number) in text
    assert len(text) <= 25
  plots.to_png(figure)


def test_many_numbered_classes_have_no_colour_bar():
  figure = plots.scatter('Title', ('x', 'y'), POINTS, np.arange(60))
  assert len(figure.axes) == 1
  (legend,) = figure.legends
  assert legend.get_texts()[0].get_text() == '50 other classes'


def test_real_labels_have_a_colour_bar():
  labels = np.linspace(-1, 1, 60)
  axes, scale = plots.scatter('Title', ('x', 'y'), POINTS, labels).axes
  (drawn,) = axes.collections
  np.testing.assert_array_equal(drawn.get_array(), labels)
  assert scale.get_ylabel() == 'label'


def test_rows_of_a_categorical_axis_have_their_names():
  labels = np.repeat([3, 7], 30)
  names = ['cat', 'dog']
  figure = plots.scatter('Title', ('x', 'y'), POINTS, labels, rows=names)
  (axes,) = figure.axes
  assert [text.get_text() for text in axes.get_yticklabels()] == names
  np.testing.assert_array_equal(axes.get_yticks(), [0, 1])
