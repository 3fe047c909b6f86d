"""RelaxedCategorical. `families.py` covers RelaxedBernoulli."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

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
