"""Mean and variance of eight estimators against exact values.

With 10,000 draws the standard error of a measured variance is about 10 % of it
(theta = 5, plain score function) or less. A wrong baseline changes a variance
by 67 % at theta = 0, and a missing term changes a mean by 100 %.
"""

import numpy as np
import pytest

from experiments.lab.demonstrations import quadratic

# At theta = 0, 1, 2, 5.
VARIANCES = {
  'score function': (15, 30, 87, 990),
  'score, baseline E[f]': (10, 18, 42, 210),
  'score, best baseline': (6, 14, 38, 206),
  'score, leave-one-out, 2 draws': (6, 14, 38, 206),
  'pathwise': (4, 4, 4, 4),
  'pathwise, antithetic pair': (0, 0, 0, 0),
  'measure-valued, independent': (1.2732, 1.8197, 3.4592, 14.9352),
  'measure-valued, coupled': (0, 1.0930, 4.3718, 27.3240),
}


@pytest.fixture(scope='module')
def rows(measure):
  return measure(quadratic, 10_000)


@pytest.mark.slow
def test_mean_and_variance_of_every_estimator(rows, assert_exact):
  assert set(VARIANCES) == set(quadratic.ESTIMATORS)
  assert len(rows) == 4 * len(VARIANCES)
  for name, variances in VARIANCES.items():
    own = [row for row in rows if row.estimator == name]
    assert [row.theta for row in own] == [0, 1, 2, 5]
    assert [row.gradient.exact for row in own] == [0, 2, 4, 10]
    exact = [row.variance.exact for row in own]
    np.testing.assert_allclose(exact, variances, rtol=1e-4)
    assert_exact([row.variance for row in own], 4)
    assert_exact([row.gradient for row in own], 4)
    assert all(x.variance.measured < 1e-9 for x in own if not x.variance.exact)


@pytest.mark.slow
def test_table_and_figure(rows, assert_draws, tmp_path):
  table = quadratic.table(rows).splitlines()
  assert len(table) == len(rows) + 2
  assert table[2].split()[:4] == ['score', 'function', '0', '15']
  assert_draws(quadratic, rows, tmp_path)
