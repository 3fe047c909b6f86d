import jax
import numpy as np
import pytest
from scipy import stats

from experiments.lab.demonstrations import jacobian
from vae_jax import distributions


@pytest.fixture(scope='module')
def rows(measure):
  """Returns the rows of one size: every size is a program of its own."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jacobian, 'SIZES', (4,))
    return measure(jacobian, 10_000)


@pytest.mark.slow
def test_objective_in_z_equals_objective_in_eps(rows):
  assert [row.size for row in rows] == [4, 4]
  for row in rows:
    assert max(row.value, row.gradient_loc, row.gradient_scale) < 3e-5
    np.testing.assert_allclose(row.in_z, row.in_eps, atol=3e-5)
    # A missing determinant would exceed the rounding errors.
    assert abs(row.log_det) > 1e-2


@pytest.mark.quick('False')
@pytest.mark.parametrize('triangular', [True, False])
def test_objective_in_z_equals_the_density_of_scipy(triangular, key):
  params_key, key = jax.random.split(key)
  params = jacobian._params(params_key, triangular, 4)
  c = np.asarray(params['scale_tril'])
  assert np.array_equal(c, np.tril(c)) == triangular
  assert (np.linalg.det(c) > 0) == triangular
  value = jacobian.objective_in_z(triangular, jacobian.log_target, params, key)
  q = distributions.MultivariateNormal(**params, triangular=triangular)
  z = distributions.sample(jax.random.clone(key), q)
  normal = stats.multivariate_normal(params['loc'], c @ c.T)
  exact = jacobian.log_target(z) - normal.logpdf(z)
  np.testing.assert_allclose(value, exact, rtol=1e-4)


@pytest.mark.slow
def test_table_and_figure(rows, assert_draws, tmp_path, monkeypatch):
  monkeypatch.setattr(jacobian, 'SIZES', (4,))
  assert 'any invertible C' in jacobian.table(rows)
  assert_draws(jacobian, rows, tmp_path)
