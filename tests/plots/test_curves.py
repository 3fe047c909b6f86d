import matplotlib.colors
import numpy as np
import pytest

from vae_jax import plots
from vae_jax.plots.style import PALETTE


def colour_of(artist):
  return matplotlib.colors.to_hex(artist.get_color())


def texts(legend):
  return [text.get_text() for text in legend.get_texts()]


def test_points_have_the_colour_of_their_line():
  lines = {'a': ([1, 2], [3, 4]), 'b': ([1, 2], [5, 6])}
  points = {'b': ([1, 2], [7, 8]), 'c': ([1], [9])}
  figure = plots.curves('T', ('x', 'y'), lines, points=points)
  (axes,) = figure.axes
  found = [(colour_of(line), line.get_marker()) for line in axes.lines]
  a, b, c = PALETTE[:3]
  assert found == [(a, 'None'), (b, 'None'), (b, 'o'), (c, 'o')]
  data = [line.get_ydata() for line in axes.lines]
  for values, exact in zip(data, ([3, 4], [5, 6], [7, 8], [9]), strict=True):
    np.testing.assert_array_equal(values, exact)
  assert texts(axes.get_legend()) == ['a', 'b', 'c']
  assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == (
    *('T', 'x', 'y'),
  )


def test_axes_have_the_scales_and_the_category_names():
  line = {'a': ([0, 1], [3, 4])}
  scales = ('linear', 'log')
  names = ['one', 'two']
  figure = plots.curves('T', ('x', 'y'), line, scales=scales, ticks=names)
  (axes,) = figure.axes
  assert (axes.get_xscale(), axes.get_yscale()) == scales
  assert [label.get_text() for label in axes.get_xticklabels()] == names
  np.testing.assert_array_equal(axes.get_xticks(), [0, 1])


@pytest.mark.parametrize('count', [4, 5])
def test_a_legend_of_more_than_four_names_is_outside(count):
  lines = {str(i): ([0, 1], [0, i]) for i in range(count)}
  figure = plots.curves('T', ('x', 'y'), lines)
  inside = figure.axes[0].get_legend()
  outside = count > 4
  assert (inside is None) == outside
  legend = figure.legends[0] if outside else inside
  assert texts(legend) == list(lines)


def test_learning_curve_shows_every_split():
  # Four lines: training may log two bounds besides the objective.
  names = ['train', 'validation', 'one', 'more']
  splits = {name: ([1, 2, 3], [-9.0, i, i]) for i, name in enumerate(names)}
  (axes,) = plots.learning_curve('bound', splits).axes
  assert texts(axes.get_legend()) == names
  assert len({colour_of(line) for line in axes.lines}) == 4
  for line, (epochs, values) in zip(axes.lines, splits.values(), strict=True):
    np.testing.assert_array_equal(line.get_data(), [epochs, values])
    assert line.get_marker() == 'None'
  low, high = axes.get_ylim()
  assert low < -9
  assert high > 3
  assert axes.get_ylabel() == 'bound (nats per example)'


def test_first_epochs_of_a_long_run_are_off_the_axis():
  values = [-1000.0, *range(99)]
  (axes,) = plots.learning_curve('bound', {'a': (range(100), values)}).axes
  low, high = axes.get_ylim()
  assert -10 < low < 1
  assert high > 98


def test_a_single_epoch_is_drawn_as_a_marker():
  (axes,) = plots.learning_curve('bound', {'train': ([1], [-9.0])}).axes
  (line,) = axes.lines
  assert line.get_marker() == 'o'
  low, high = axes.get_ylim()
  assert low < -9 < high


@pytest.mark.parametrize('last', [2, 3, 6, 100])
def test_ticks_of_epochs_are_integers(last):
  epochs = range(1, last + 1)
  line = {'train': (epochs, [-9.0 + x for x in epochs])}
  (axes,) = plots.learning_curve('bound', line).axes
  ticks = axes.get_xticks()
  assert len(ticks) > 1
  np.testing.assert_array_equal(ticks, np.round(ticks))


def test_error_bars_extend_one_error_in_each_direction():
  points = {1: (9.0, 0.25), 10: (5.0, 0.5), 500: (4.0, 1.0)}
  (axes,) = plots.error_bars('Title', ('K', 'NLL'), points).axes
  line, caps, (bars,) = axes.containers[0]
  np.testing.assert_array_equal(line.get_data(), [[1, 10, 500], [9, 5, 4]])
  exact = [
    [[k, mean - error], [k, mean + error]]
    for k, (mean, error) in points.items()
  ]
  np.testing.assert_allclose(bars.get_segments(), exact)
  assert len(caps) == 2
  assert axes.get_xscale() == 'log'
  labels = [label.get_text() for label in axes.get_xticklabels()]
  assert labels == ['1', '10', '500']
