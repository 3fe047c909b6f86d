import matplotlib.colors
import numpy as np
import pytest

from vae_jax import plots
from vae_jax.plots.style import ACCENT, MUTED


def names_of(axes):
  return [label.get_text() for label in axes.get_xticklabels()]


def test_groups_of_bars_differ_in_colour_and_have_error_bars():
  groups = {
    'active': plots.Bars(np.array([0, 2]), np.array([4.0, 3.0]), np.ones(2)),
    'inactive': plots.Bars(np.array([1]), np.array([2.0]), np.array([0.5])),
  }
  (axes,) = plots.bars('Title', ('x', 'y'), groups, ['7', '3', '5']).axes
  found = [
    (
      matplotlib.colors.to_hex(bar.get_facecolor()),
      bar.get_x() + bar.get_width() / 2,
      bar.get_height(),
    )
    for bar in axes.patches
  ]
  assert found == [(MUTED, 0, 4), (MUTED, 2, 3), (ACCENT, 1, 2)]
  errors = np.concatenate([bars.get_segments() for bars in axes.collections])
  exact = [[[0, 3], [0, 5]], [[2, 2], [2, 4]], [[1, 1.5], [1, 2.5]]]
  np.testing.assert_allclose(errors, exact)
  assert names_of(axes) == ['7', '3', '5']
  legend = [text.get_text() for text in axes.get_legend().get_texts()]
  assert legend == list(groups)


def test_a_group_has_its_colour_also_without_the_other():
  none = plots.Bars(np.zeros(0, int), np.zeros(0), np.zeros(0))
  dead = plots.Bars(np.arange(2), np.ones(2), np.ones(2))
  groups = {'active': none, 'inactive': dead}
  (axes,) = plots.bars('Title', ('x', 'y'), groups, ['0', '1']).axes
  colours = {matplotlib.colors.to_hex(x.get_facecolor()) for x in axes.patches}
  assert colours == {ACCENT}
  legend = [text.get_text() for text in axes.get_legend().get_texts()]
  assert legend == ['inactive']


@pytest.mark.parametrize(
  ('count', 'rotation', 'named'),
  [(20, 0, True), (21, 90, True), (60, 90, True), (61, 90, False)],
)
def test_many_names_are_rotated_and_too_many_are_left_out(
  count, rotation, named
):
  ones = np.ones(count)
  groups = {'active': plots.Bars(np.arange(count), ones, 0.1 * ones)}
  names = [str(i) for i in range(count)]
  (axes,) = plots.bars('Title', ('x', 'y'), groups, names).axes
  assert names_of(axes) == (names if named else [])
  assert len(axes.patches) == count
  assert all(x.get_rotation() == rotation for x in axes.get_xticklabels())
