import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import vae_jax.distributions as vd
from tests.helpers import SIGMAS

_density = jax.jit(
  jax.vmap(
    jax.value_and_grad(lambda df, z: vd.StudentT(df, 0.0, -30.0).log_prob(z)),
  )
)
_cauchy = jax.jit(jax.value_and_grad(lambda q, z: q.log_prob(z), (0, 1)))


@pytest.mark.parametrize('z', [9.4e6, -3e30, 1e-13])
def test_cauchy_is_finite_where_the_squared_noise_overflows(z):
  value, (slope, in_z) = _cauchy(vd.Cauchy(0.0, -30.0), jnp.float32(z))
  exact = stats.cauchy.logpdf(np.float64(np.float32(z)) * np.exp(30.0))
  if abs(z) > 1:  # scipy squares the noise.
    exact = -np.log(np.pi) - 2 * (np.log(abs(z)) + 30)
  np.testing.assert_allclose(value, exact + 30, rtol=1e-5, atol=2e-6)
  y = z * np.exp(30.0)
  share = 2 / (1 + 1 / y**2)
  np.testing.assert_allclose(slope.log_scale, share - 1, atol=1e-5)
  np.testing.assert_allclose(in_z, -share / z, rtol=1e-5)


def test_student_t_is_finite_where_the_squared_noise_overflows():
  df = np.float32([1e-3, 0.1, 1.0, 5.0])
  z = np.full(4, 3e30, np.float32)
  value, slope = _density(df, z)
  y = np.log(z.astype(float)) + 30 - np.log(df.astype(float)) / 2
  nu = df.astype(float)
  constant = -np.log(nu) / 2 - special.betaln(0.5, nu / 2) + 30
  np.testing.assert_allclose(value, constant - (nu + 1) * y, rtol=1e-5)
  digammas = special.digamma(nu / 2) - special.digamma((nu + 1) / 2)
  exact = -y + (nu + 1) / (2 * nu) - 1 / (2 * nu) - digammas / 2
  np.testing.assert_allclose(slope, exact, rtol=1e-5)


@jax.jit
@jax.vmap
def _normal_limit(df, z):
  q = vd.StudentT(df, 0.3, -0.5)
  value = lambda df: vd.StudentT(df, 0.3, -0.5).log_prob(z)
  return (*jax.value_and_grad(value)(df), q.entropy(), q.mean(), q.variance())


def test_infinite_degrees_of_freedom_are_the_normal_distribution():
  z = jnp.array([-2.0, 0.3, 1.0, 30.0, 1e20])
  value, slope, entropy, mean, variance = _normal_limit(jnp.full(5, jnp.inf), z)
  exact = vd.Normal(0.3, -0.5)
  np.testing.assert_allclose(value, jax.vmap(exact.log_prob)(z), rtol=1e-6)
  np.testing.assert_array_equal(slope[:4], 0.0)
  np.testing.assert_allclose(entropy, exact.entropy(), rtol=1e-6)
  np.testing.assert_allclose(mean, 0.3, rtol=1e-6)
  np.testing.assert_allclose(variance, exact.variance(), rtol=1e-6)


@jax.jit
@jax.vmap
def _draw(df, key):
  draw = lambda df: vd.StudentT(df, 0.0, 0.0).draw(key)
  return jax.value_and_grad(draw)(df)


def _draws(df, key, count=20_000):
  z, slope = _draw(jnp.full(count, df), jax.random.split(key, count))
  return np.asarray(z, float), np.asarray(slope, float)


@pytest.mark.slow
@pytest.mark.parametrize('df', [0.1, 0.4, 3.0, 1e4, np.inf])
def test_draws_and_their_derivatives_in_df_are_right(df, key):
  z, slope = _draws(df, key)
  assert np.isfinite(z).all()
  assert np.isfinite(slope).all()
  q = stats.t(df) if np.isfinite(df) else stats.norm()
  # Kolmogorov-Smirnov: one false alarm in 1e8 at 2.8.
  distance = stats.kstest(z, q.cdf).statistic
  assert distance * np.sqrt(len(z)) < 3.1
  if df > 1e3:
    n = stats.norm.ppf(q.cdf(z)) if np.isfinite(df) else z
    inner = np.abs(n) < 4
    np.testing.assert_allclose(
      slope[inner], (-(n**3 + n) / (4 * df**2))[inner], rtol=2e-3, atol=1e-12
    )
    return
  # d E[1 / (1 + z^2)] / d df, by the trapezoidal rule in arsinh z.
  y = np.linspace(-40, 40, 8001)
  f = lambda df: np.sum(stats.t(df).pdf(np.sinh(y)) / np.cosh(y)) * 0.01
  exact = (f(df * 1.001) - f(df / 1.001)) / (df * (1.001 - 1 / 1.001))
  each = -2 * z / (1 + z**2) * slope / (1 + z**2)
  error = each.std() / np.sqrt(len(z))
  assert abs(each.mean() - exact) < SIGMAS * error + 1e-3 * abs(exact)
