import numpy as np
import pytest

from experiments.lab.demonstrations import collapse


@pytest.mark.slow
def test_variance_collapses_without_the_determinant(
  measure, assert_draws, tmp_path
):
  rows = with_determinant, without = measure(collapse, 0)
  assert with_determinant.exact == np.trace(
    collapse.TARGET_SCALE @ collapse.TARGET_SCALE.T
  )
  # 250 steps with a correlation time of 20 and a spread of a tenth.
  np.testing.assert_allclose(
    with_determinant.fitted, with_determinant.exact, rtol=0.05
  )
  assert without.exact == 0
  assert without.last < 1e-10
  assert without.trajectory[0] == with_determinant.trajectory[0] == 3
  assert 'E[log p] alone' in collapse.table(rows)
  assert_draws(collapse, rows, tmp_path)
