import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax.distributions as vd
from tests.helpers import assert_mean

LOC = np.array([0.5, -1.0, 2.0])
LOWER = np.array([[1.5, 0.0, 0.0], [-0.7, 0.4, 0.0], [0.2, 1.1, 0.9]])
# Rows swapped: the same covariance in another order, determinant below 0.
GENERAL = LOWER[[1, 0, 2]]
assert np.linalg.det(GENERAL) < 0
SCALES = {'triangular': LOWER, 'general': GENERAL}

either = pytest.mark.parametrize('name', SCALES)


def make(name):
  return vd.MultivariateNormal(
    jnp.array(LOC), jnp.array(SCALES[name]), triangular=name == 'triangular'
  )


def reference(name):
  c = SCALES[name].astype(np.float32).astype(np.float64)
  return stats.multivariate_normal(LOC, c @ c.T)


@either
def test_log_prob_matches_scipy_and_change_of_variables(name, key):
  q = make(name)
  z = np.float32(LOC + 2 * np.asarray(jax.random.normal(key, (6, 3))))
  value = jax.jit(jax.vmap(q.log_prob))(z)
  assert value.shape == (6,)
  np.testing.assert_allclose(value, reference(name).logpdf(z), rtol=1e-5)
  by_jacobian = jax.jit(jax.vmap(vd.change_of_variables, (None, 0)))(q, z)
  np.testing.assert_allclose(by_jacobian, value, rtol=1e-5)


@either
def test_entropy_and_moments_match_scipy(name):
  q, exact = make(name), reference(name)
  np.testing.assert_allclose(q.entropy(), exact.entropy(), rtol=1e-6)
  np.testing.assert_allclose(q.mean(), exact.mean, rtol=1e-6)
  np.testing.assert_allclose(q.variance(), np.diag(exact.cov), rtol=1e-5)
  np.testing.assert_allclose(q.covariance(), exact.cov, rtol=1e-5)


@either
def test_draws_follow_the_distribution(name, key):
  q = make(name)

  @jax.jit
  @jax.vmap
  def program(key):
    eps = q.noise(key)
    z = q.transform(eps)
    return eps, z, q.transform(q.mirror(eps)), q.inverse(z)

  eps, *draws, back = program(jax.random.split(key, 20_000))
  np.testing.assert_allclose(back, eps, atol=1e-4)
  np.testing.assert_allclose(
    sum(draws), 2 * np.tile(LOC, (20_000, 1)), atol=1e-5
  )
  for z in map(np.asarray, draws):
    assert_mean(z, LOC)
    outer = (z - LOC)[:, :, None] * (z - LOC)[:, None]
    assert_mean(outer, reference(name).cov)
    along = np.array([0.6, -0.3, 1.0])
    spread = np.sqrt(along @ reference(name).cov @ along)
    assert stats.kstest((z - LOC) @ along / spread, 'norm').pvalue > 1e-9


@either
def test_density_in_two_dimensions_integrates_to_one(name):
  loc, c = jnp.array(LOC[:2]), jnp.array(SCALES[name][:2, :2])
  q = vd.MultivariateNormal(loc, c, triangular=name == 'triangular')
  # Ten standard deviations; the trapezoid rule is exact for a smooth decay.
  x = np.linspace(-15, 15, 301)
  y = np.linspace(-8, 8, 301)
  z = np.stack(np.meshgrid(x, y, indexing='ij'), -1).astype(np.float32)
  log_density = jax.jit(jax.vmap(jax.vmap(q.log_prob)))(z)
  density = np.exp(np.asarray(log_density, np.float64))
  mass = np.trapezoid(np.trapezoid(density, y), x)
  np.testing.assert_allclose(mass, 1.0, rtol=1e-5)


@pytest.mark.parametrize(
  ('loc', 'scale', 'triangular', 'message'),
  [
    (np.zeros(3), np.eye(2), True, r'shape \(2, 2\) and loc \(3,\)'),
    (np.zeros(2), np.ones(2), True, r'shape \(2,\) and loc \(2,\)'),
    (np.zeros(()), np.eye(1), True, r'shape \(1, 1\) and loc \(\)'),
    (np.zeros(2), np.ones((2, 3)), False, r'shape \(2, 3\) and loc \(2,\)'),
    (np.zeros(2), [[1.0, 0.1], [0.0, 1.0]], True, 'not lower triangular'),
    (np.zeros(2), [[1.0, 0.0], [0.3, 0.0]], True, 'not positive'),
    (np.zeros(2), [[1.0, 0.0], [0.3, -2.0]], True, 'not positive'),
    (np.zeros(2), [[1.0, 0.0], [0.3, np.nan]], True, 'not positive'),
    (np.zeros(2), [[1.0, 2.0], [2.0, 4.0]], False, 'singular'),
  ],
)
def test_invalid_scale_is_refused(loc, scale, triangular, message):
  with pytest.raises(ValueError, match=f'^scale_tril .*{message}'):
    vd.MultivariateNormal(
      jnp.array(loc), jnp.array(scale), triangular=triangular
    )


def test_invalid_scale_in_a_batch_is_refused():
  scale = jnp.stack([jnp.eye(2), -jnp.eye(2)])
  with pytest.raises(ValueError, match='not positive'):
    vd.MultivariateNormal(jnp.zeros((2, 2)), scale)


@either
def test_event_of_another_shape_is_refused(name):
  with pytest.raises(ValueError, match=r'z has shape \(2,\)'):
    make(name).log_prob(jnp.zeros(2))
  with pytest.raises(ValueError, match=r'eps has shape \(4,\)'):
    make(name).transform(jnp.zeros(4))


def test_gradient_pytree_is_not_validated_as_parameters():
  q = make('triangular')
  slope = jax.jit(jax.grad(lambda q: q.log_prob(jnp.zeros(3))))(q)
  assert isinstance(slope, vd.MultivariateNormal)
  assert slope.triangular
  assert np.any(np.diagonal(slope.scale_tril) < 0)
  np.testing.assert_array_equal(np.triu(slope.scale_tril, 1), 0.0)
  zeros = jax.tree.map(jnp.zeros_like, q)
  assert not np.any(zeros.scale_tril)


@either
def test_gradient_of_log_prob_matches_closed_form(name):
  q, z = make(name), np.array([0.1, 0.2, -0.4])
  slope = jax.jit(jax.grad(lambda q: q.log_prob(jnp.array(z))))(q)
  precision = np.linalg.inv(reference(name).cov)
  # d log p / dC = (P d d' P - P) C, of which a triangular C has the lower half.
  pull = precision @ (z - LOC)
  of_scale = (np.outer(pull, pull) - precision) @ SCALES[name]
  if name == 'triangular':
    of_scale = np.tril(of_scale)
  np.testing.assert_allclose(slope.loc, pull, rtol=1e-4)
  np.testing.assert_allclose(slope.scale_tril, of_scale, rtol=1e-4, atol=1e-4)


def test_vmap_over_parameters_equals_a_loop():
  locs = jnp.stack([jnp.array(LOC), jnp.zeros(3)])
  scales = jnp.stack([jnp.array(LOWER), 2 * jnp.eye(3)])
  z = jnp.ones(3)
  log_prob = jax.jit(lambda loc, c: vd.MultivariateNormal(loc, c).log_prob(z))
  loop = [log_prob(*each) for each in zip(locs, scales, strict=True)]
  batch = vd.MultivariateNormal(locs, scales)
  outside = jax.jit(jax.vmap(lambda q: q.log_prob(z)))(batch)
  inside = jax.vmap(log_prob)
  np.testing.assert_allclose(outside, loop, rtol=1e-6)
  np.testing.assert_allclose(inside(locs, scales), loop, rtol=1e-6)


def test_entries_above_the_diagonal_are_ignored_under_jit():
  @jax.jit
  def program(c, eps):
    q = vd.MultivariateNormal(jnp.array(LOC), c)
    z = q.transform(eps)
    return z, q.inverse(z), q.covariance()

  eps = jnp.array([0.3, -1.0, 0.5])
  clean = program(jnp.array(LOWER), eps)
  for value, expected in zip(
    program(LOWER + np.triu(np.ones((3, 3)), 1), eps), clean, strict=True
  ):
    np.testing.assert_array_equal(value, expected)
  np.testing.assert_allclose(clean[1], eps, rtol=1e-5)


def test_general_and_triangular_agree_on_a_triangular_scale():
  q = make('triangular')
  general = dataclasses.replace(q, triangular=False)
  for method in ['entropy', 'variance', 'covariance']:
    np.testing.assert_allclose(
      getattr(general, method)(), getattr(q, method)(), rtol=1e-6
    )
