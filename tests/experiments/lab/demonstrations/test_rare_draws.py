import math

import numpy as np
import pytest

from experiments.lab.demonstrations import rare_draws
from tests.helpers import SIGMAS

NUM_DRAWS = 30_000


@pytest.fixture(scope='module')
def rows(measure):
  return measure(rare_draws, NUM_DRAWS)


def select(rows, f, estimator):
  chosen = [row for row in rows if (row.f, row.estimator) == (f, estimator)]
  assert [row.theta for row in chosen] == list(rare_draws.THETAS)
  return chosen


def test_median_of_score_function_estimates_of_a_square_is_zero(
  rows, assert_exact
):
  for row in select(rows, 'x^2', 'score function'):
    assert row.mean.exact == 2 * row.theta
    assert_exact([row.mean])
    # The standard error of a median is 1 / (2 p(median) sqrt(N)). Here that is
    # at most theta^2 times the standard error for a standard normal.
    error = math.sqrt(math.pi / 2 / NUM_DRAWS) * row.theta**2
    assert abs(row.median_of_one) < SIGMAS * error
    assert row.median_of_one < row.median_of_ten < row.mean.exact
    assert row.half < 0.08


def test_pathwise_estimates_of_a_square_are_symmetric(rows, assert_exact):
  for row in select(rows, 'x^2', 'pathwise'):
    error = 2 * math.sqrt(math.pi / 2 / NUM_DRAWS)
    assert_exact([row.mean])
    assert abs(row.median_of_one - 2 * row.theta) < SIGMAS * error
    assert abs(row.median_of_ten - 2 * row.theta) < SIGMAS * error
    spread = 0.5 / math.sqrt(NUM_DRAWS / rare_draws.NUM_SAMPLES)
    assert abs(row.below - 0.5) < SIGMAS * spread


@pytest.mark.parametrize('estimator', rare_draws.ESTIMATES)
def test_fewer_draws_dominate_the_mean_of_a_steeper_function(
  estimator, rows, assert_exact
):
  own = select(rows, 'exp(x^2/8)', estimator)
  assert_exact([own[0].mean])
  shares = [row.median_of_ten / row.mean.exact for row in own]
  halves, below = [row.half for row in own], [row.below for row in own]
  assert shares == sorted(shares, reverse=True)
  assert below == sorted(below)
  assert shares[0] > 0.6
  assert shares[-1] < 0.2
  assert below[-1] > 0.85
  assert halves[-1] < halves[-2] < halves[0]
  assert halves[-1] < 0.001


def test_exact_gradient_equals_quadrature():
  x = np.linspace(-30, 40, 200_001)

  def integral(theta):
    values = np.exp(x**2 / 8 - (x - theta) ** 2 / 2) / math.sqrt(2 * math.pi)
    return np.trapezoid(values, x)

  _, exact = rare_draws.FUNCTIONS['exp(x^2/8)']
  for theta in rare_draws.THETAS:
    slope = (integral(theta + 1e-4) - integral(theta - 1e-4)) / 2e-4
    np.testing.assert_allclose(exact(theta), slope, rtol=1e-6)


@pytest.mark.parametrize(
  ('draws', 'share'),
  [([1, 1, 1, 1], 0.5), ([-2, 1, 8, 1], 0.25), ([5, -4, 3, -2], 0.25)],
)
def test_share_of_half_of_known_draws(draws, share):
  assert rare_draws.share_of_half(np.array(draws, float)) == share


def test_table_and_figure(rows, assert_draws, tmp_path):
  table = rare_draws.table(rows)
  assert f'{rows[0].below:.1%}' in table
  assert_draws(rare_draws, rows, tmp_path)
