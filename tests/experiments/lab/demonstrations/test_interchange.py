import pytest

from experiments.lab.demonstrations import interchange


@pytest.fixture(scope='module')
def rows(measure):
  return measure(interchange, 10_000)


def test_differentiating_inside_omits_exactly_the_score_term(
  rows, assert_exact
):
  assert len(rows) == 8
  for row in rows:
    inside, score, gradient = row.inside, row.score, row.gradient
    assert gradient.exact == 2 * row.theta == inside.exact + score.exact
    assert_exact([inside, score, gradient])
    if row.theta:
      # The omitted term is at least half of the gradient, and is detected.
      assert score.exact >= row.theta > 12 * score.standard_error
      assert gradient.measured - inside.measured > 0.9 * row.theta
    if row.f == 'x^2':
      assert (inside.measured, inside.standard_error) == (0, 0)


def test_table_and_figure(rows, assert_draws, tmp_path):
  table = interchange.table(rows)
  assert all(f'f = {name}' in table for name in interchange.LOSSES)
  assert f'{rows[-1].gradient.measured:.3f}' in table
  assert_draws(interchange, rows, tmp_path)
