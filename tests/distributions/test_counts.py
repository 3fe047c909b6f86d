"""Counts in float32 against scipy and mpmath, from tiny to huge parameters."""

import itertools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj

# Of the largest true term.
RTOL = 1e-5


def count_grid():
  """Returns (x, mean, dispersion), also with means close to x, float32."""
  counts = [0, 1, 3, 50, 12345, 10**6]
  dispersions = [1e-3, 0.5, 10, 1e4, 1e8]
  far = itertools.product(counts, [1e-4, 0.7, 30, 1e6], dispersions)
  close = [
    (x, x * (1 + step), r)
    for x in counts[1:]
    for step in (0, 1e-4, -0.01, 0.1, -0.4, 0.6)
    for r in dispersions
  ]
  x, mean, r = np.array([*far, *close]).T
  return x.astype(np.float32), *np.float32(np.log([mean, r]))


GRID = count_grid()


def exact(x, log_mean, log_r):
  """Returns log p and its slopes, each with the size of its largest term.

  The terms are those that remain once those of the order of x have cancelled:
  the deviance, the slopes r x / (r + m) and r m / (r + m), and the two parts of
  the slope in log r that have opposite signs.
  """
  with mpmath.workdps(40):
    x, a, b = (mpmath.mpf(float(each)) for each in (x, log_mean, log_r))
    m, r = mpmath.exp(a), mpmath.exp(b)
    value = mpmath.loggamma(x + r) - mpmath.loggamma(r)
    value -= mpmath.loggamma(x + 1)
    value += r * mpmath.log(r / (r + m)) + x * mpmath.log(m / (r + m))
    deviance = r * mpmath.log((m + r) / (x + r))
    deviance += x * mpmath.log(x * (m + r) / (m * (x + r))) if x else 0
    gap = lambda c: mpmath.log(c) - mpmath.digamma(c)
    w = (x - m) / (r + m)
    parts = r * (mpmath.log1p(w) - w), r * (gap(r) - gap(x + r))
    share = r / (r + m)
    return [
      [float(value), float(max(abs(value), abs(deviance)))],
      [float((x - m) * share), float(max(x, m) * share)],
      [float(sum(parts)), float(max(map(abs, parts)))],
    ]


@jax.jit
def negative_binomial(x, log_mean, log_r):
  def one(x, log_mean, log_r):
    log_prob = lambda a, b: vj.NegativeBinomial(a, b).log_prob(x)
    return jax.value_and_grad(log_prob, (0, 1))(log_mean, log_r)

  return jax.vmap(one)(x, log_mean, log_r)


@jax.jit
def poisson(x, log_rate):
  log_prob = lambda a, x: vj.Poisson(a).log_prob(x)
  return jax.vmap(jax.value_and_grad(log_prob))(log_rate, x)


def assert_near(found, reference):
  value, scale = np.moveaxis(reference, -1, 0)
  error = np.abs(np.asarray(found, np.float64) - value)
  worst = np.argmax(error / np.maximum(scale, 1e-37))
  assert np.all(error <= RTOL * scale + 1e-37), (
    [each[worst] for each in GRID],
    np.asarray(found)[worst],
    value[worst],
  )


def test_negative_binomial_and_slopes_match_mpmath():
  value, slopes = negative_binomial(*GRID)
  reference = np.array([exact(*each) for each in zip(*GRID, strict=True)])
  for i, found in enumerate((value, *slopes)):
    assert_near(found, reference[:, i])


def test_poisson_and_slope_match_mpmath():
  x, log_rate = GRID[:2]
  value, slope = poisson(x, log_rate)

  def reference(x, a):
    with mpmath.workdps(40):
      x, a = mpmath.mpf(float(x)), mpmath.mpf(float(a))
      m = mpmath.exp(a)
      log_p = x * a - m - mpmath.loggamma(x + 1)
      return [[log_p, abs(log_p)], [x - m, max(x, m)]]

  numbers = [reference(*each) for each in zip(x, log_rate, strict=True)]
  numbers = np.array(numbers, float)
  assert_near(value, numbers[:, 0])
  assert_near(slope, numbers[:, 1])


@pytest.mark.slow
def test_log_prob_matches_scipy():
  x = np.arange(40.0, dtype=np.float32)
  found = jax.vmap(vj.Poisson(1.3).log_prob)(x)
  np.testing.assert_allclose(
    found, stats.poisson(np.exp(1.3)).logpmf(x), rtol=1e-5
  )
  m, r = np.exp(1.3), np.exp(0.4)
  scipy = stats.nbinom(r, r / (r + m))
  q = vj.NegativeBinomial(1.3, 0.4)
  np.testing.assert_allclose(
    jax.vmap(q.log_prob)(x), scipy.logpmf(x), rtol=1e-5
  )
  np.testing.assert_allclose(q.mean(), scipy.mean(), rtol=1e-5)
  np.testing.assert_allclose(q.variance(), scipy.var(), rtol=1e-5)
  w = 1 / (1 + np.exp(0.8))
  inflated = vj.ZeroInflatedNegativeBinomial(1.3, 0.4, -0.8)
  mass = (1 - w) * scipy.pmf(np.arange(4000)) + w * (np.arange(4000) == 0)
  np.testing.assert_allclose(
    jax.vmap(inflated.log_prob)(x), np.log(mass[:40]), rtol=1e-5
  )
  mean = mass @ np.arange(4000)
  np.testing.assert_allclose(inflated.mean(), mean, rtol=1e-5)
  square = mass @ np.arange(4000.0) ** 2
  np.testing.assert_allclose(inflated.variance(), square - mean**2, rtol=1e-5)


def test_large_dispersion_is_the_poisson_limit():
  x, log_mean, _ = GRID
  expected = poisson(x, log_mean)
  for log_r in (45.0, 69.0, 80.0, 1e4):
    value, slopes = negative_binomial(x, log_mean, np.full_like(x, log_r))
    np.testing.assert_allclose(value, expected[0], rtol=1e-5)
    np.testing.assert_allclose(slopes[0], expected[1], rtol=1e-5, atol=1e-6)
    assert np.all(np.abs(slopes[1]) < 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize('logits', [-90.0, -20.0, 0.0, 20.0, 90.0])
def test_zero_inflation_is_accurate_and_differentiable(logits):
  def log_prob(x, log_mean, logits):
    q = vj.ZeroInflatedNegativeBinomial(log_mean, 0.3, logits)
    return q.log_prob(x)

  log_means = np.array([-15.0, 0.0, 8.0], np.float32)
  for x in (0.0, 4.0):
    value, slopes = jax.vmap(
      jax.value_and_grad(log_prob, (1, 2)), (None, 0, None)
    )(x, log_means, logits)
    r = np.exp(np.float64(np.float32(0.3)))
    for i, log_mean in enumerate(np.float64(log_means)):
      with mpmath.workdps(90):
        m, w = mpmath.exp(log_mean), 1 / (1 + mpmath.exp(-logits))
        p = mpmath.gamma(x + r) / mpmath.gamma(r) / mpmath.factorial(x)
        p *= (r / (r + m)) ** r * (m / (r + m)) ** x
        whole = (w if x == 0 else 0) + (1 - w) * p
        by_logits = w * (1 - w) * ((1 if x == 0 else 0) - p) / whole
        log_p = float(mpmath.log(whole))
      np.testing.assert_allclose(value[i], log_p, rtol=1e-5, atol=1e-30)
      np.testing.assert_allclose(
        slopes[1][i], float(by_logits), rtol=1e-5, atol=1e-7
      )
    assert np.all(np.isfinite(slopes))


FAMILIES = [
  vj.Poisson(jnp.array([0.3, -2.0])),
  vj.NegativeBinomial(jnp.array([0.3, 1.0]), jnp.array([-0.5, 4.0])),
  vj.ZeroInflatedNegativeBinomial(jnp.array([0.3, 1.0]), 0.5, -0.4),
]
every_family = pytest.mark.parametrize('q', FAMILIES, ids=lambda q: q.name)


@pytest.mark.quick('Poisson')
@every_family
def test_negative_and_fractional_numbers_have_probability_zero(q):
  bad = jnp.array([[-1.0, 1], [0.5, 1], [jnp.inf, 1], [2, 1.5]])
  value, slope = jax.vmap(
    jax.value_and_grad(lambda q, x: q.log_prob(x)), (None, 0)
  )(q, bad)
  assert np.all(np.isneginf(value))
  assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(slope))


@pytest.mark.quick('Poisson')
@every_family
def test_probabilities_sum_to_one(q):
  one = jax.tree.map(lambda x: jnp.broadcast_to(x, (2,))[:1], q)
  x = jnp.arange(3000.0)[:, None]
  log_p = np.asarray(jax.vmap(one.log_prob)(x), np.float64)
  np.testing.assert_allclose(np.exp(log_p).sum(), 1, rtol=1e-5)


@pytest.mark.slow
@every_family
def test_integers_do_not_wrap(q):
  for x in ([0, 200], [7, 255]):
    found = q.log_prob(np.array(x, np.uint8))
    np.testing.assert_array_equal(found, q.log_prob(jnp.array(x, float)))


@pytest.mark.quick('Poisson')
@every_family
def test_draws_have_the_mean_and_variance(q, key):
  """Six standard errors: false alarms below 2e-8 where draws are normal."""
  n = 20_000
  draw = jax.jit(jax.vmap(q.sample))
  x = np.asarray(draw(jax.random.split(key, n)), np.float64)
  assert np.all((x >= 0) & (x == np.floor(x)))
  deviation = x - np.asarray(q.mean())
  for found, wanted in (
    (deviation, np.zeros(2)),
    (deviation**2, np.asarray(q.variance())),
  ):
    error = found.std(axis=0) / np.sqrt(n)
    assert np.all(np.abs(found.mean(axis=0) - wanted) < 6 * error)


@pytest.mark.slow
def test_second_derivatives_are_right():
  with jax.enable_x64(True):
    for x in (0.0, 3.0, 40.0):

      def log_prob(v, x=x):
        q = vj.ZeroInflatedNegativeBinomial(v[0], v[1], v[2])
        return q.log_prob(x) + vj.Poisson(v[0]).log_prob(x)

      v, steps = jnp.array([1.3, 0.6, -0.4]), 1e-5 * jnp.eye(3)
      slope = jax.grad(log_prob)
      numeric = jnp.stack([(slope(v + h) - slope(v - h)) / 2e-5 for h in steps])
      np.testing.assert_allclose(
        jax.hessian(log_prob)(v), numeric, rtol=1e-6, atol=1e-8
      )


def test_log_prob_is_finite_and_smooth_at_extremes():
  """Parameters far beyond those of a network."""
  x = np.array([0, 1, 100, 10**6], np.float32)
  ends = np.array([-80.0, -40, 0, 40, 80], np.float32)
  grid = [each.ravel() for each in np.meshgrid(x, ends, ends)]
  value, slopes = negative_binomial(*grid)
  assert not np.isnan(value).any()
  assert np.all(np.asarray(value) <= 0)
  assert all(np.all(np.isfinite(each)) for each in slopes)


@pytest.mark.slow
@pytest.mark.parametrize('log_mean', [21.6, 30.0, 80.0])
def test_draws_of_large_means_are_not_bounded_by_the_integers(log_mean):
  """6 standard errors of the mean of 500 draws, and a chi-square of 500."""
  q = vj.Poisson(log_mean)
  z = np.asarray(vj.sample_many(jax.random.key(5), q, 500), np.float64)
  mean = np.exp(log_mean)
  rounding = 1e-6 * mean
  assert abs(z.mean() - mean) < 6 * np.sqrt(mean / 500) + rounding
  if log_mean < 25:  # Beyond, the spread is below the spacing of float32.
    assert 0.7 < z.var() / mean < 1.3
  heavy = vj.NegativeBinomial(log_mean, 0.0)
  draws = np.asarray(vj.sample_many(jax.random.key(6), heavy, 500))
  assert abs(draws.mean() / mean - 1) < 6 / np.sqrt(500)


def test_draws_of_an_infinite_mean_are_infinite():
  q = vj.Poisson(200.0)
  assert vj.sample(jax.random.key(0), q) == np.inf


@pytest.mark.parametrize('log_dispersion', [-39.0, -41.0, -90.0, -200.0])
def test_a_dispersion_that_underflows_has_a_density(log_dispersion):
  """p(x) of r near 0 is r / x (m / (m + r))^x; that of 0 is 1."""
  q = vj.NegativeBinomial(1.0, log_dispersion)
  found = jax.jit(jax.vmap(jax.value_and_grad(type(q).log_prob, 0), (None, 0)))
  value, slope = found(q, jnp.array([0.0, 1.0, 2.0, 50.0]))
  exact = log_dispersion - np.log([1.0, 2.0, 50.0])
  np.testing.assert_allclose(value, [0.0, *exact], atol=1e-5, rtol=1e-6)
  np.testing.assert_allclose(
    slope.log_dispersion, [0.0, 1.0, 1.0, 1.0], atol=1e-5, rtol=0
  )
