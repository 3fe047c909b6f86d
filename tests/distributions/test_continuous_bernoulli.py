import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj

# Both sides of 1, where the series of the density starts, and of 0.1, where
# the series of the cdf and its inverse start.
LOGITS = np.array(
  [
    *(0.0, 1e-8, 1e-4, 0.03, 0.0999, 0.1001, 0.5, 0.999, 1.001, 3.0, 20.0),
    *(90.0, 1e4),
  ]
)
LOGITS = np.float32(np.concatenate([-LOGITS[:0:-1], LOGITS]))
X = [0.0, 0.3, 1.0]


def exact(logits):
  """Returns log int exp(t x) dx, mean and variance to 16 digits or more."""
  t = np.longdouble(logits)
  small = np.abs(t) < 0.05
  safe = np.where(small, 1, t)
  # Measured from the likelier end, no formula overflows.
  a = np.abs(safe)
  log_integral = np.where(
    small,
    t / 2 + t**2 / 24 - t**4 / 2880 + t**6 / 181440,
    np.maximum(safe, 0) + np.log1p(-np.exp(-a)) - np.log(a),
  )
  distance = 1 / a - np.exp(-a) / -np.expm1(-a)
  mean = np.where(
    small,
    0.5 + t / 12 - t**3 / 720 + t**5 / 30240,
    np.where(safe > 0, 1 - distance, distance),
  )
  variance = np.where(
    small,
    1 / 12 - t**2 / 240 + t**4 / 6048,
    1 / a**2 - np.exp(-a) / np.expm1(-a) ** 2,
  )
  return log_integral, mean, variance


@pytest.mark.parametrize('x', X)
def test_value_and_gradient_are_exact_on_both_sides_of_the_switch(x):
  log_prob = lambda t: vj.ContinuousBernoulli(t).log_prob(jnp.float32(x))
  value, slope = jax.jit(jax.vmap(jax.value_and_grad(log_prob)))(LOGITS)
  log_integral, mean, _ = exact(LOGITS)
  expected = np.float64(x) * LOGITS - log_integral
  # The float32 product 0.3 * 10,000 has lost digits.
  np.testing.assert_allclose(value, expected, rtol=1e-6, atol=3e-6)
  np.testing.assert_allclose(slope, x - mean, rtol=3e-6, atol=1e-7)


def test_moments_are_exact_on_both_sides_of_the_switch():
  mean_of = lambda t: vj.ContinuousBernoulli(t).mean()

  @jax.jit
  def program(logits):
    variance = vj.ContinuousBernoulli(logits).variance()
    return mean_of(logits), variance, jax.vmap(jax.grad(mean_of))(logits)

  mean, variance, slope = program(LOGITS)
  _, exact_mean, exact_variance = exact(LOGITS)
  np.testing.assert_allclose(mean, exact_mean, rtol=1e-6)
  np.testing.assert_allclose(variance, exact_variance, rtol=5e-6)
  np.testing.assert_allclose(slope, exact_variance, rtol=5e-6)


@jax.jit
def _log_prob(logits, x):
  return vj.ContinuousBernoulli(logits).log_prob(x)


def test_normaliser_matches_its_definition():
  logits = np.array([-5.0, -0.3, 0.3, 5.0])
  rate = 1 / (1 + np.exp(-logits))
  c = 2 * np.arctanh(1 - 2 * rate) / (1 - 2 * rate)
  for x in X:
    expected = np.sum(x * np.log(rate) + (1 - x) * np.log1p(-rate) + np.log(c))
    value = _log_prob(logits, jnp.full(4, x))
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_density_integrates_to_one_at_any_logit():
  # Geometric towards both ends, where the mass of a large logit is.
  half = np.concatenate([[0.0], np.geomspace(1e-9, 0.5, 4000)])
  d = np.concatenate([half, 1 - half[-2::-1]])
  log_prob = jax.jit(jax.vmap(jax.vmap(_log_prob, (None, 0)), (0, None)))
  density = np.exp(np.float64(log_prob(LOGITS[LOGITS <= 0], np.float32(d))))
  mass = np.trapezoid(density, d, axis=1)
  np.testing.assert_allclose(mass, 1.0, rtol=1e-4)


@pytest.mark.parametrize('u', [0.03, 0.5, 0.9])
def test_draw_and_gradient_are_exact_on_both_sides_of_the_switch(u):
  draw = lambda t: vj.ContinuousBernoulli(t).transform(jnp.float32(u))
  value, slope = jax.jit(jax.vmap(jax.value_and_grad(draw)))(LOGITS)
  back = jax.jit(lambda logit, x: vj.ContinuousBernoulli(logit).inverse(x))
  # float32 has few digits of 1 - x at the largest.
  moderate = np.abs(LOGITS) < 100
  np.testing.assert_allclose(back(LOGITS, value)[moderate], u, rtol=2e-5)
  step = np.longdouble(1e-5)
  expected = (quantile(LOGITS + step, u) - quantile(LOGITS - step, u)) / (
    2 * step
  )
  np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-9)


def quantile(logits, u):
  positive, u = logits > 0, np.longdouble(np.float32(u))
  a, u = np.abs(logits), np.where(positive, 1 - u, u)
  d = -np.log1p(u * np.expm1(-a)) / a
  return np.where(positive, 1 - d, d)


@pytest.mark.parametrize('logit', [-0.0999, 0.0999])
def test_series_have_the_documented_accuracy(logit):
  x = np.linspace(0.05, 0.95, 19)
  cdf = np.expm1(logit * x) / np.expm1(logit)
  with jax.enable_x64(True):
    p = vj.ContinuousBernoulli(jnp.full(19, logit))
    both = jax.jit(lambda p, x, eps: (p.inverse(x), p.transform(eps)))
    eps, z = both(p, jnp.asarray(x), jnp.asarray(cdf))
    np.testing.assert_allclose(eps, cdf, atol=1e-9)
    np.testing.assert_allclose(z, x, atol=1e-8)


def test_draws_from_extreme_noise_are_in_the_support():
  transform = jax.jit(vj.ContinuousBernoulli(LOGITS).transform)
  for eps in (0.0, 1.0):
    z = np.asarray(transform(jnp.full(LOGITS.shape, eps)))
    assert np.all((z >= 0) & (z <= 1))


@pytest.mark.slow
def test_gradients_match_finite_differences():
  with jax.enable_x64(True):
    logits = jnp.array([-30.0, -1.01, -0.99, -0.05, 0.0, 0.05, 0.4, 7.0])
    x = jnp.linspace(0.05, 0.95, 8)

    @jax.jit
    def f(t):
      q = vj.ContinuousBernoulli(t)
      return jnp.stack(
        [
          q.log_prob(x),
          q.entropy(),
          jnp.sum(q.mean() ** 2),
          jnp.sum(q.transform(x) ** 2),
          jnp.sum(q.inverse(x) ** 2),
        ]
      )

    step = 1e-5 * jnp.eye(8)
    difference = jax.vmap(lambda h: f(logits + h) - f(logits - h))
    exact = difference(step).T / 2e-5
    slopes = jax.jit(jax.jacrev(f))(logits)
    np.testing.assert_allclose(slopes, exact, rtol=1e-5, atol=2e-8)
