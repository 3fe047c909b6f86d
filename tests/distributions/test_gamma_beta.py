"""Gamma and Beta against mpmath, from concentrations of 1e-5 to 1e8."""

import functools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from scipy import special, stats

import vae_jax as vj
import vae_jax.distributions as vd
from tests.helpers import assert_mean

CONCENTRATIONS = [1e-3, 0.05, 0.7, 3.0, 7.9, 8.1, 40.0, 1e3, 1e5, 1e7, 1e8]
KEYS = 20_000


def exact(value):
  """Evaluates a function of float32 numbers with 40 digits."""

  def evaluate(*arguments):
    with mp.workdps(40):
      rows = zip(*(np.float64(np.ravel(x)) for x in arguments), strict=True)
      return np.array([float(value(*map(mp.mpf, row))) for row in rows])

  return evaluate


def assert_accurate(found, true, largest, tolerance=1e-5):
  """Asserts errors relative to the largest term of a cancelled sum."""
  found = np.asarray(found, np.float64)
  assert np.isfinite(found).all()
  worst = np.max(np.abs(found - true) / largest)
  assert worst < tolerance, worst


def with_gradients(value, count):
  """Compiles a function of `count` scalars and its gradients."""
  return jax.jit(jax.vmap(jax.value_and_grad(value, range(count))))


def grid(*axes):
  columns = np.meshgrid(*axes, indexing='ij')
  return [x.ravel().astype(np.float32) for x in columns]


def test_entropy_of_gamma():
  (a,) = grid(CONCENTRATIONS)
  value, (slope,) = with_gradients(lambda a: vd.Gamma(a, 0.0).entropy(), 1)(a)
  true = exact(lambda a: a + mp.loggamma(a) + (1 - a) * mp.psi(0, a))(a)
  assert_accurate(value, true, 1 + np.abs(true))
  true = exact(lambda a: 1 + (1 - a) * mp.psi(1, a))(a)
  assert_accurate(slope, true, np.abs(true))


def betaln(a, b):
  return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)


def test_entropy_of_beta():
  a, b = grid(CONCENTRATIONS, CONCENTRATIONS)
  entropy = with_gradients(lambda a, b: vd.Beta(a, b).entropy(), 2)
  value, slopes = entropy(a, b)

  def formula(a, b):
    spread = (a - 1) * mp.psi(0, a) + (b - 1) * mp.psi(0, b)
    return betaln(a, b) - spread + (a + b - 2) * mp.psi(0, a + b)

  def slope(a, b):
    return (a + b - 2) * mp.psi(1, a + b) - (a - 1) * mp.psi(1, a)

  true = exact(formula)(a, b)
  assert_accurate(value, true, 1 + np.abs(true))
  for found, order in zip(slopes, [(a, b), (b, a)], strict=True):
    true = exact(slope)(*order)
    # Each of the two terms tends to -1 plus this.
    assert_accurate(found, true, np.abs(true) + 0.1 / order[0])


def test_issue_examples():
  q, p = vd.Gamma(1e7, 0.0), vd.Gamma(10_000_001.0, 1e-5)
  np.testing.assert_allclose(vj.kl(q, p), 4.9005e-4, rtol=1e-4)
  np.testing.assert_allclose(vd.Beta(1e3, 1e7).entropy(), -11.245764, rtol=1e-6)


def test_log_prob_of_gamma():
  a, quantile, log_rate = grid(
    CONCENTRATIONS[2:], [1e-3, 0.3, 0.5, 0.9, 0.999], [0.0, -2.0]
  )
  scale = np.exp(-np.float64(log_rate))
  z = np.float32(stats.gamma(np.float64(a), scale=scale).ppf(quantile))
  density = with_gradients(lambda a, r, z: vd.Gamma(a, r).log_prob(z), 3)
  value, slopes = density(a, log_rate, z)

  def formula(a, r, z):
    return a * r + (a - 1) * mp.log(z) - mp.exp(r) * z - mp.loggamma(a)

  deviations = 4 * np.sqrt(a)
  true = exact(formula)(a, log_rate, z)
  # z exp(log_rate) is rounded, unless log_rate is 0.
  rounding = np.where(log_rate == 0, 0, 1e-2 * deviations)
  assert_accurate(value, true, 1 + np.abs(true) + rounding)
  true = exact(lambda a, r, z: r + mp.log(z) - mp.psi(0, a))(a, log_rate, z)
  assert_accurate(slopes[0], true, np.abs(true) + 1e-2)
  true = exact(lambda a, r, z: a - z * mp.exp(r))(a, log_rate, z)
  assert_accurate(slopes[1], true, np.abs(true) + 0.1 * a)
  true = exact(lambda a, r, z: (a - 1) / z - mp.exp(r))(a, log_rate, z)
  assert_accurate(slopes[2], true, np.abs(true) + 0.1 * a / z)


def test_log_prob_of_beta():
  a, b, quantile = grid(
    CONCENTRATIONS[2:], CONCENTRATIONS[2:], [0.01, 0.5, 0.9]
  )
  z = np.float32(stats.beta(np.float64(a), np.float64(b)).ppf(quantile))
  inside = z < 1
  a, b, z = a[inside], b[inside], z[inside]
  density = with_gradients(lambda a, b, z: vd.Beta(a, b).log_prob(z), 3)
  value, slopes = density(a, b, z)

  def formula(a, b, z):
    return (a - 1) * mp.log(z) + (b - 1) * mp.log1p(-z) - betaln(a, b)

  true = exact(formula)(a, b, z)
  assert_accurate(value, true, 1 + np.abs(true))
  slope = exact(lambda a, b, z: mp.log(z) - mp.psi(0, a) + mp.psi(0, a + b))
  true = slope(a, b, z)
  assert_accurate(slopes[0], true, np.abs(true) + 0.01)
  assert_accurate(slopes[0], true, np.abs(true) + 1e-3 / np.sqrt(a))


@pytest.mark.slow
def test_log_prob_of_small_concentrations():
  z = np.float32([1e-30, 1e-3, 0.4, 0.999])
  value = jax.vmap(vd.Beta(1e-3, 2e-3).log_prob)(z)
  np.testing.assert_allclose(value, stats.beta(1e-3, 2e-3).logpdf(z), rtol=1e-5)
  value = jax.vmap(vd.Gamma(1e-3, 0.5).log_prob)(z)
  true = stats.gamma(1e-3, scale=np.exp(-0.5)).logpdf(z)
  np.testing.assert_allclose(value, true, rtol=1e-5)


STEPS = [1.0, 1 + 1e-6, 0.999, 1.1, 3.0, 1 / 30]


@pytest.mark.slow
def test_divergence_of_gammas_that_are_nearly_equal_or_far_apart():
  a, step, gap = grid(CONCENTRATIONS, STEPS, [0.0, 1e-5, -0.3])
  other = a * step
  divergence = with_gradients(
    lambda a, b, gap: vj.kl(vd.Gamma(a, gap), vd.Gamma(b, 0.0)), 3
  )
  value, slopes = divergence(a, other, gap)

  def formula(a, b, gap):
    shape = (a - b) * mp.psi(0, a) - mp.loggamma(a) + mp.loggamma(b)
    return shape + b * gap + a * mp.expm1(-gap)

  true = exact(formula)(a, other, gap)
  assert np.all(np.asarray(value) >= 0)
  assert_accurate(value, true, np.abs(true) + 1e-30)
  slope = lambda a, b, gap: (a - b) * mp.psi(1, a) + mp.expm1(-gap)
  largest = exact(
    lambda a, b, gap: abs((a - b) * mp.psi(1, a)) + abs(mp.expm1(-gap))
  )(a, other, gap)
  assert_accurate(slopes[0], exact(slope)(a, other, gap), largest + 1e-30)


@pytest.mark.slow
def test_divergence_of_betas_that_are_nearly_equal_or_far_apart():
  axes = [1e-3, 0.7, 8.1, 1e4, 1e8], [0.05, 7.9, 1e3, 1e7]
  a, b, a_step, b_step = grid(*axes, STEPS, [1.0, 0.999, 3.0])
  c, d = a * a_step, b * b_step
  divergence = with_gradients(
    lambda a, b, c, d: vj.kl(vd.Beta(a, b), vd.Beta(c, d)), 4
  )
  value, slopes = divergence(a, b, c, d)

  def formula(a, b, c, d):
    terms = (a - c) * mp.psi(0, a) + (b - d) * mp.psi(0, b)
    total = (c - a + d - b) * mp.psi(0, a + b)
    return betaln(c, d) - betaln(a, b) + terms + total

  # The divergences of the two Gammas of which a Beta is made.
  bregman = lambda a, c: (
    mp.loggamma(c) - mp.loggamma(a) - mp.psi(0, a) * (c - a)
  )
  excess = lambda a, c: bregman(a, c) - (c * mp.log(c / a) - c + a)
  largest = exact(lambda a, b, c, d: abs(excess(a, c)) + abs(excess(b, d)))(
    a, b, c, d
  )
  true = exact(formula)(a, b, c, d)
  assert np.all(np.asarray(value) >= -1e-6 * largest)
  assert_accurate(value, true, np.abs(true) + largest + 1e-30)
  slope = lambda a, b, c, d: (
    (a - c) * mp.psi(1, a) + (c - a + d - b) * mp.psi(1, a + b)
  )
  largest = exact(lambda a, b, c, d: abs((a - c) * mp.psi(1, a)))(a, b, c, d)
  true = exact(slope)(a, b, c, d)
  assert_accurate(slopes[0], true, np.abs(true) + largest + 1e-30)


@functools.cache
def gamma_draws():
  """Draws log z of `[concentration, KEYS]`, and slopes of it in the latter."""

  @jax.jit
  @functools.partial(jax.vmap, in_axes=(0, None))
  @functools.partial(jax.vmap, in_axes=(None, 0))
  def program(a, key):
    draw = lambda a: vj.reparameterise(key, vd.Gamma(a, jnp.log(a)))
    # log(z / E[z]), from z where log z has no digits.
    large = lambda z: jnp.log1p(jnp.where(a > 1, z.value, 1) - 1)
    gap = lambda z: jnp.where(a > 1, large(z), z.log_z)
    return jax.value_and_grad(lambda a: gap(draw(a)))(a)

  keys = jax.random.split(jax.random.key(3), KEYS)
  return program(jnp.array(GAMMA_DRAWS), keys)


GAMMA_DRAWS = [3e-5, 1e-2, 0.3, 1.0, 9.0, 1e3, 1e6, 1e8]


@pytest.mark.slow
@pytest.mark.parametrize('i', range(len(GAMMA_DRAWS)))
def test_draws_of_gamma_follow_it_at_any_concentration(i):
  a = np.float64(np.float32(GAMMA_DRAWS[i]))
  log_ratio = np.asarray(gamma_draws()[0][i], np.float64)
  log_z = log_ratio + np.log(a)
  # Where z underflows F(z) = z^a / Gamma(a + 1).
  with np.errstate(all='ignore'):
    tail = np.exp(a * log_z - special.gammaln(a + 1))
    ranks = np.where(log_z < -20, tail, special.gammainc(a, np.exp(log_z)))
  assert stats.kstest(ranks, 'uniform').pvalue > 1e-9


@pytest.mark.parametrize('i', range(len(GAMMA_DRAWS)))
def test_gradient_of_gamma_draws_is_unbiased_at_any_concentration(i):
  a = np.float64(np.float32(GAMMA_DRAWS[i]))
  slopes = np.asarray(gamma_draws()[1][i], np.float64)
  # d E[log z / E[z]] / da; the noise of a slope is of the order of a^-3/2.
  exact_slope = float(mp.psi(1, a) - 1 / mp.mpf(a))
  error = slopes.std() / np.sqrt(KEYS)
  assert abs(slopes.mean() - exact_slope) < 6 * error
  assert slopes.std() < 2 / a**1.5 + 2 / a**2


def test_gamma_draws_do_not_underflow_before_they_are_scaled(key):
  q = vd.Gamma(0.05, -60.0)
  z = jax.jit(lambda key: vj.sample_many(key, q, KEYS))(key)
  # F(z) = (e^-60 z)^a / Gamma(a + 1), but for 2 % of z above e^55.
  log_z = np.asarray(z.log_z, np.float64)
  ranks = special.gammainc(0.05, np.exp(log_z - 60))
  assert stats.kstest(ranks, 'uniform').pvalue > 1e-9
  # The smallest z that has a derivative: 2^-103.
  assert np.mean(np.asarray(z) < 1e-31) < 4e-3
  np.testing.assert_allclose(
    jnp.log(z.value), np.maximum(log_z, -103 * np.log(2)), rtol=1e-5, atol=1e-5
  )


@pytest.mark.slow
def test_second_derivative_of_an_expectation_over_gamma(key):
  mean = lambda a: jnp.mean(
    vj.reparameterise_many(key, vd.Gamma(a, 0.0), KEYS) ** 2
  )
  # E[z^2] = a (a + 1).
  np.testing.assert_allclose(
    jax.jit(jax.hessian(mean))(jnp.array(1.5)), 2.0, atol=0.1
  )


SAMPLED = {
  'beta': (lambda a: vd.Beta(a, a), [1e-3, 0.1, 2.0, 1e4]),
  'gamma': (lambda a: vd.Gamma(a, -1.0), [1e-3, 0.05, 2.0, 1e4]),
}


@pytest.mark.slow
@pytest.mark.parametrize('name', SAMPLED)
def test_sampled_divergence_matches_its_closed_form(name, key):
  member, concentrations = SAMPLED[name]

  @jax.jit
  @functools.partial(jax.vmap, in_axes=(0, None))
  def program(a, key):
    key, elbo_key = jax.random.split(key)
    q, p = member(a), member(jnp.ones(()))
    z = vj.sample_many(key, q, KEYS)
    sampled = jax.vmap(lambda z: q.log_prob(z) - p.log_prob(z))(z)
    elbo = lambda q: vj.elbo(
      elbo_key, q, p, lambda z: 0.0, form='joint', num_samples=KEYS
    )
    return sampled, elbo(q).elbo, vj.kl(q, p)

  sampled, elbos, closed = program(jnp.array(concentrations), key)
  if name == 'beta':
    np.testing.assert_allclose(closed[1], 6.2611, rtol=1e-4)
  for draws, elbo, kl in zip(sampled, elbos, closed, strict=True):
    assert_mean(draws, kl)
    error = np.std(draws) / np.sqrt(KEYS)
    assert abs(elbo + kl) < 6 * error + 1e-6 * abs(kl)


@pytest.mark.slow
def test_gradient_of_beta_draws_near_the_ends(key):
  @jax.jit
  @functools.partial(jax.vmap, in_axes=(0, None))
  @functools.partial(jax.vmap, in_axes=(None, 0))
  def slopes(a, key):
    log_z = lambda a, b: vj.reparameterise(key, vd.Beta(a, b)).log_z
    return jax.grad(log_z, (0, 1))(a, a)

  a = np.float64(np.float32([3e-5, 0.1, 2.0]))
  in_a, in_b = slopes(jnp.array(a, jnp.float32), jax.random.split(key, KEYS))
  both = special.polygamma(1, 2 * a)
  for i, (own, other) in enumerate(zip(in_a, in_b, strict=True)):
    assert_mean(own, special.polygamma(1, a[i]) - both[i])
    assert_mean(other, -both[i])


@pytest.mark.slow
def test_beta_of_equal_concentrations_is_symmetric(key):
  z = vj.sample_many(key, vd.Beta(0.05, 0.05), KEYS)
  ends = np.mean(z.log_z < -16), np.mean(z.log_complement < -16)
  np.testing.assert_allclose(
    ends, special.betainc(0.05, 0.05, np.exp(-16)), atol=0.02
  )
