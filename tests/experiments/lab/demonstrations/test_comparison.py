import math

import jax
import numpy as np

from experiments.lab.demonstrations.comparison import (
  Comparison,
  compare_mean,
  compare_variance,
  format_rows,
)


def test_standard_errors_of_mean_and_variance_of_a_normal(key, assert_exact):
  draws = np.asarray(3 * jax.random.normal(key, (200_000,)) + 1)
  mean, variance = compare_mean(draws, 1.0), compare_variance(draws, 9.0)
  np.testing.assert_allclose(mean.standard_error, 3 / 200_000**0.5, rtol=0.02)
  # Var[s^2] = 2 sigma^4 / N for a normal.
  error = 9 * math.sqrt(2 / 200_000)
  np.testing.assert_allclose(variance.standard_error, error, rtol=0.02)
  assert_exact([mean, variance])


def test_z_score_without_variance_tolerates_rounding_only():
  assert Comparison(2.0, 2.5, 0.25).z == 2.0
  assert abs(Comparison(0.0, 1e-7, 0.0).z) < 1
  assert abs(Comparison(0.0, 1e-3, 0.0).z) > 100
  assert abs(Comparison(1e6, 1e6 + 0.1, 0.0).z) < 1


def test_rows_are_aligned():
  text = format_rows('title', ('a', 'b'), [('long name', 1.0), ('x', 123.456)])
  assert text.splitlines() == [
    'title',
    '  a              b',
    '  long name      1',
    '  x          123.5',
  ]
