"""RelaxedCategorical, and both relaxed families at low temperature."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import vae_jax as vj
import vae_jax.distributions as vd
from tests.helpers import assert_mean

LOGITS = np.array([0.4, -1.0, 0.7])
P_VALUE = 1e-9

log_probs = jax.jit(jax.vmap(lambda q, z: q.log_prob(z), (None, 0)))


@pytest.mark.parametrize('temperature', [0.6, 1.5])
@pytest.mark.parametrize('size', [2, 3])
def test_density_over_the_simplex_integrates_to_one(temperature, size):
  q = vd.RelaxedCategorical(temperature, jnp.array(LOGITS[:size]))
  # z = softmax(y, 0): dz = prod_k z_k dy. The integrand is smooth in y, and
  # the mass beyond 40 is negligible. The trapezoid rule is exact for smooth
  # decay.
  axis = np.linspace(-40, 40, 401)
  y = np.meshgrid(*[axis] * (size - 1), 0.0, indexing='ij')
  z = special.softmax(np.stack(y, -1).reshape(-1, size), axis=-1)
  log_density = np.asarray(log_probs(q, z.astype(np.float32)), np.float64)
  volume = np.prod(z, axis=-1) * (axis[1] - axis[0]) ** (size - 1)
  np.testing.assert_allclose(np.exp(log_density) @ volume, 1.0, rtol=1e-5)


def test_two_categories_equal_the_relaxed_bernoulli():
  q = vd.RelaxedCategorical(0.7, jnp.array([1.3, 0.5]))
  p = vd.RelaxedBernoulli(0.7, 0.8)
  z = jnp.array([0.05, 0.5, 0.9])
  np.testing.assert_allclose(
    log_probs(q, jnp.stack([z, 1 - z], -1)), log_probs(p, z), rtol=1e-5
  )


def test_density_off_the_simplex_is_zero():
  q = vd.RelaxedCategorical(0.7, jnp.zeros(3))
  off = [[1.5, 1.5, 1.5], [0.5, 0.3, 0.3], [1.0, 0.0, 0.0], [0.7, 0.8, -0.5]]
  off.append([np.inf, 0.1, 0.1])
  assert np.isneginf(log_probs(q, jnp.array(off))).all()
  assert np.isfinite(log_probs(q, jnp.array([[0.5, 0.3, 0.2]])))


def test_log_prob_is_invariant_to_a_constant_in_the_logits():
  z = jnp.array([0.2, 0.5, 0.3])
  q = vd.RelaxedCategorical(0.7, jnp.array(LOGITS))
  shifted = vd.RelaxedCategorical(0.7, jnp.array(LOGITS) + 5)
  np.testing.assert_allclose(
    log_probs(shifted, z[None]), log_probs(q, z[None]), rtol=1e-5
  )


def test_draws_and_antithetic_draws_follow_the_distribution(key):
  q = vd.RelaxedCategorical(0.7, jnp.array(LOGITS))

  @jax.jit
  @jax.vmap
  def program(key):
    eps = q.noise(key)
    mirrored = q.mirror(eps)
    noises = eps, mirrored, q.mirror(mirrored)
    return noises, (q.transform(eps), q.transform(mirrored))

  noises, both = program(jax.random.split(key, 20_000))
  ranks, opposite, again = stats.gumbel_r.cdf(np.asarray(noises, np.float64))
  np.testing.assert_allclose(again, ranks, atol=1e-6)
  for a, b in zip(ranks.T, opposite.T, strict=True):
    assert np.corrcoef(a, b)[0, 1] < -0.9
  for z in np.asarray(both, np.float64):
    np.testing.assert_allclose(z.sum(-1), 1.0, rtol=1e-6)
    assert_mean(np.eye(3)[z.argmax(-1)], special.softmax(LOGITS))
    # The difference of two Gumbels is logistic.
    gap = 0.7 * (np.log(z[:, 0]) - np.log(z[:, 1])) - (LOGITS[0] - LOGITS[1])
    assert stats.kstest(gap, 'logistic').pvalue > P_VALUE


def test_rows_are_independent_points_of_the_simplex(key):
  logits = jnp.stack([jnp.array(LOGITS), jnp.zeros(3)])
  q = vd.RelaxedCategorical(0.7, logits)
  z = vd.reparameterise(key, q)
  assert z.shape == q.shape == (2, 3)
  np.testing.assert_allclose(z.sum(-1), 1.0, rtol=1e-6)
  row = jax.jit(lambda row, x: vd.RelaxedCategorical(0.7, row).log_prob(x))
  rows = [row(*each) for each in zip(logits, z, strict=True)]
  value = jax.jit(q.log_prob)(z)
  assert value.shape == ()
  np.testing.assert_allclose(value, sum(rows), rtol=1e-5)


_value_and_slope = jax.jit(jax.value_and_grad(lambda q, z: q.log_prob(z)))


@pytest.mark.parametrize('z', [[0.0, 0.5, 0.5], [-0.5, 0.5, 1.0]])
def test_log_prob_is_minus_infinity_outside_the_simplex(z):
  value, slope = _value_and_slope(
    vd.RelaxedCategorical(jnp.array(0.7), jnp.array(LOGITS)), jnp.array(z)
  )
  assert np.isneginf(value)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(slope))


@jax.jit
@functools.partial(jax.vmap, in_axes=(None, 0))
def _of_a_draw(q, key):
  """Returns log_prob of a draw and its gradient."""
  value = lambda q: q.log_prob(vd.reparameterise(key, q))
  return jax.value_and_grad(value)(q)


@pytest.mark.parametrize('logit', [-90.0, 90.0])
@pytest.mark.parametrize('temperature', [0.1, 10.0])
def test_log_prob_of_a_draw_is_finite_at_any_logit(logit, temperature, key):
  q = vd.RelaxedCategorical(
    jnp.array(temperature), jnp.array([logit, 0.0, 1.0])
  )
  numbers = _of_a_draw(q, jax.random.split(key, 500))
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(numbers))


def test_inverse_is_refused():
  q = vd.RelaxedCategorical(0.7, jnp.array(LOGITS))
  with pytest.raises(TypeError, match='RelaxedCategorical has no inverse'):
    q.inverse(jnp.ones(3) / 3)


TEMPERATURES = [0.01, 0.1, 0.7]
_relaxed_bernoulli = lambda t, x: vd.RelaxedBernoulli(t, x)
_relaxed_categorical = lambda t, x: vd.RelaxedCategorical(
  t, jnp.stack([x, jnp.zeros(())])
)
FAMILIES = {
  'bernoulli': _relaxed_bernoulli,
  'categorical': _relaxed_categorical,
}
either_family = pytest.mark.parametrize('family', FAMILIES)


def divergence(logit):
  """KL of Logistic(logit, 1) from Logistic(0, 1), and its slope in logit."""
  # It holds for both families of two categories, at any common temperature.
  e = np.linspace(-40, 40, 80_001)
  mass = stats.logistic.pdf(e) * (e[1] - e[0])
  gap = lambda x: stats.logistic.logpdf(e) - stats.logistic.logpdf(e + x)
  return mass @ gap(logit), mass @ np.tanh((e + logit) / 2)


def test_reference_is_the_stated_divergence():
  np.testing.assert_allclose(divergence(5.0)[0], 3.068, atol=1e-3)


@pytest.mark.slow
@either_family
def test_sampled_divergence_holds_down_to_temperature_one_hundredth(
  family, key
):
  member, num_samples = FAMILIES[family], 20_000

  @jax.jit
  @functools.partial(jax.vmap, in_axes=(0, None))
  def program(t, key):
    key, draw_key, bound_key = jax.random.split(key, 3)
    q, p = lambda x: member(t, x), member(t, jnp.zeros(()))
    terms = lambda x: vj.elbo(
      key, q(x), p, lambda z: 0.0, form='joint', num_samples=num_samples
    )
    z = vj.sample_many(draw_key, q(jnp.array(5.0)), num_samples)
    log_q = jax.vmap(q(jnp.array(5.0)).log_prob)(z)
    bound = vj.iw_elbo(
      bound_key, q(jnp.array(1.0)), p.log_prob, num_samples=1000
    )
    elbo, slope = jax.value_and_grad(lambda x: terms(x).elbo)(jnp.array(5.0))
    return log_q - jax.vmap(p.log_prob)(z), elbo, slope, bound

  gaps, elbos, slopes, bounds = program(jnp.array(TEMPERATURES), key)
  exact, exact_slope = divergence(5.0)
  for gap in gaps:
    assert_mean(gap, exact)
  # The standard deviation of a term is 1.9, of its derivative below 1.
  np.testing.assert_allclose(elbos, -exact, atol=0.08)
  np.testing.assert_allclose(slopes, -exact_slope, atol=0.05)
  np.testing.assert_allclose(bounds, 0.0, atol=0.15)


@pytest.mark.parametrize('temperature', TEMPERATURES)
def test_log_prob_of_own_and_another_members_draws_is_exact(temperature, key):
  logits, eps = np.array([3.0, -1.0, 0.5]), np.random.default_rng(0)
  eps = eps.gumbel(size=(100, 3)).astype(np.float32)
  scaled = (logits + eps.astype(np.float64)) / np.float32(temperature)
  log_z = scaled - special.logsumexp(scaled, axis=-1, keepdims=True)
  z = jax.vmap(vd.RelaxedCategorical(temperature, jnp.array(logits)).transform)(
    eps
  )
  np.testing.assert_allclose(z.log_z, log_z, rtol=1e-6, atol=1e-4)
  log_z = np.asarray(z.log_z, np.float64)
  np.testing.assert_allclose(z.sum(-1), 1.0, rtol=1e-6)
  for t, other in [(temperature, logits), (0.5, np.array([0.0, 2.0, -4.0]))]:
    log_p = special.log_softmax(other)
    terms = log_p - (t + 1) * log_z
    exact = (
      np.log(2)
      + 2 * np.log(t)
      + terms.sum(-1)
      - 3 * special.logsumexp(log_p - t * log_z, axis=-1)
    )
    found = log_probs(vd.RelaxedCategorical(t, jnp.array(other)), z)
    error = np.abs(found - exact) / (1 + np.abs(terms).max(-1))
    assert error.max() < 3e-6


def test_relaxed_bernoulli_of_a_draw_at_either_end_is_exact():
  eps = np.float32([-15.0, -3.0, 0.0, 3.0, 15.0])
  q, p = vd.RelaxedBernoulli(0.01, 2.0), vd.RelaxedBernoulli(0.3, -1.0)
  z = jax.vmap(q.transform)(eps)
  y = (2.0 + eps.astype(np.float64)) / np.float32(0.01)
  assert np.all((np.asarray(z) > 0) & (np.asarray(z) < 1))
  # log(dy/dz) = -log z(1 - z).
  jacobian = -special.log_expit(y) - special.log_expit(-y)
  for member in (q, p):
    t, logits = np.float32(member.temperature), member.logits
    exact = stats.logistic.logpdf(t * y - logits) + np.log(t) + jacobian
    np.testing.assert_allclose(log_probs(member, z), exact, rtol=1e-5)
    noise = jax.vmap(member.inverse)(z)
    np.testing.assert_allclose(noise, t * y - logits, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize('z', [2e-38, 1 - 2**-24])
def test_log_prob_of_the_last_floats_before_an_end_is_finite(z):
  z = np.float32(z)
  logit = special.logit(np.float64(z))
  exact = stats.logistic.logpdf(0.1 * logit - 5) + np.log(0.1)
  exact -= np.log(np.float64(z)) + np.log1p(-np.float64(z))
  value = vd.RelaxedBernoulli(0.1, 5.0).log_prob(jnp.array(z))
  np.testing.assert_allclose(value, exact, rtol=1e-5)


def test_decoder_receives_a_point_of_the_simplex(key):
  q = vd.RelaxedCategorical(0.01, jnp.array(LOGITS))
  weights = jnp.array([[1.0], [2.0], [3.0]])
  decode = jax.jit(lambda z: (z @ weights, jnp.round(z), jnp.sum(z)))
  mean, one_hot, total = decode(vj.reparameterise(key, q))
  assert one_hot.max() == one_hot.sum() == 1.0
  np.testing.assert_allclose(mean, one_hot @ weights, rtol=1e-5)
  np.testing.assert_allclose(total, 1.0, rtol=1e-6)
