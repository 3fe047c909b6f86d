import math

from vae_jax import plots


def test_rows_have_a_point_where_there_is_a_number():
  figure = plots.intervals(
    'title',
    ['a', 'b $x$'],
    {
      'NLL': ([1.0, 2.0], [0.1, math.nan]),
      'difference': ([0, math.nan], [0, 0]),
    },
  )
  left, right = figure.axes
  assert left.get_xlabel() == 'NLL'
  assert [x.get_text() for x in left.get_yticklabels()] == ['a', r'b \$x\$']
  assert len(left.containers) == 2
  # An error bar where there is an error; the line at 0 of a difference.
  assert [bool(bar.has_xerr) for bar in left.containers] == [True, False]
  assert len(right.lines) > len(right.containers)
  # The first row is on top.
  assert left.get_ylim()[0] > left.get_ylim()[1]
  assert plots.to_png(figure)
