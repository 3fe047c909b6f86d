import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.distributions import _numerics

mpmath = pytest.importorskip('mpmath')

T = [-0.999, -0.6, -0.499, -1e-3, 1e-9, 1e-4, 0.3, 0.499, 0.501, 3.0, 40.0]
EXACT = {
  'exponential_remainder': lambda t: mpmath.expm1(t) - t,
  'log_gamma_remainder': lambda t: (
    mpmath.loggamma(2 + t) - (1 - mpmath.euler) * t
  ),
}


@pytest.mark.parametrize('name', EXACT)
@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_remainders_and_their_slopes_keep_relative_accuracy(name, dtype):
  with jax.enable_x64(dtype == 'float64'), mpmath.workdps(50):
    t = np.array(T, dtype)
    function = getattr(_numerics, name)
    value, slope = jax.jit(jax.vmap(jax.value_and_grad(function)))(t)
    exact = [EXACT[name](mpmath.mpf(float(x))) for x in t]
    slopes = [mpmath.diff(EXACT[name], mpmath.mpf(float(x))) for x in t]
    tolerance = 200 * np.finfo(dtype).eps
    np.testing.assert_allclose(value, np.array(exact, float), rtol=tolerance)
    np.testing.assert_allclose(slope, np.array(slopes, float), rtol=tolerance)


def test_log_quotient_of_close_numbers_keeps_relative_accuracy():
  a = np.float32(3.0) * np.float32([1 + 1e-6, 1 - 1e-4, 1e-30, 1e30])
  value, slopes = jax.vmap(
    jax.value_and_grad(_numerics.log_quotient, (0, 1)), (0, None)
  )(a, 3.0)
  exact = [float(mpmath.log(mpmath.mpf(float(x)) / 3)) for x in a]
  np.testing.assert_allclose(value, exact, rtol=1e-6)
  np.testing.assert_allclose(slopes[0], 1 / a, rtol=1e-6)
  np.testing.assert_allclose(slopes[1], -1 / 3, rtol=1e-6)


@pytest.mark.quick(
  '1e-30-120.0-1.3041808783936324e+22',
  '1e+30--120.0-7.667648073721999e-23',
  '2.0-0.3-2.6997176151520064',
  '1.0-200.0-inf',
)
@pytest.mark.parametrize(
  ('x', 'log_factor', 'exact'),
  [
    (0.0, 500.0, 0.0),
    (1e-30, 120.0, 1e-30 * np.exp(120.0)),
    (1e30, -120.0, 1e30 * np.exp(-120.0)),
    (2.0, 0.3, 2 * np.exp(0.3)),
    (1.0, 200.0, np.inf),
  ],
)
def test_rescale_does_not_overflow_on_the_way(x, log_factor, exact):
  value, slopes = jax.value_and_grad(_numerics.rescale, (0, 1))(x, log_factor)
  np.testing.assert_allclose(value, exact, rtol=2e-5)
  np.testing.assert_allclose(slopes[1], exact, rtol=2e-5)
  curvature = jax.hessian(_numerics.rescale, 1)(jnp.float32(x), log_factor)
  np.testing.assert_allclose(curvature, exact, rtol=2e-5)
