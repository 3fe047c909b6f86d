import numpy as np
import pytest

from experiments.lab.demonstrations import descent


@pytest.fixture(scope='module')
def rows(measure):
  """Returns the rows of 1000 runs."""
  return measure(descent, 100_000)


def test_estimators_have_equal_mean_and_different_scatter(rows, assert_exact):
  path, score = rows
  assert (path.estimator, score.estimator) == descent.NAMES
  np.testing.assert_allclose(path.mean.exact, 5 * 0.96**20)
  assert_exact([path.mean, score.mean, path.mean_square])
  assert score.spread > 1.5 * path.spread
  assert score.mean_square is None
  assert len(path.trajectory) == len(score.trajectory) == 301


def test_estimators_use_common_random_numbers(rows):
  path, score = (np.array(row.trajectory) for row in rows)
  rate = descent.LEARNING_RATE
  eps = (path[:-1] - path[1:]) / (2 * rate) - path[:-1]
  expected = score[:-1] - rate * (score[:-1] + eps) ** 2 * eps
  np.testing.assert_allclose(score[1:], expected, atol=2e-3)


def test_exact_mean_square_satisfies_the_recursion():
  mean, variance, rate = descent.START, 0.0, descent.LEARNING_RATE
  for _ in range(7):
    mean -= rate * 2 * mean
    variance = (1 - 2 * rate) ** 2 * variance + 4 * rate**2
  exact = descent.exact_mean_square(7)
  np.testing.assert_allclose(exact, mean**2 + variance)


def test_table_and_figure(rows, assert_draws, tmp_path):
  table = descent.table(rows)
  assert f'{rows[0].trajectory[300]:.3f}' in table
  assert 'unknown' in table
  assert_draws(descent, rows, tmp_path)
