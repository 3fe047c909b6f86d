import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
import vae_jax.distributions as vd
from tests.helpers import assert_mean
from vae_jax.distributions.low_rank_normal import capacitance_root

LOC = np.float32([0.5, -1.0, 2.0, 0.0])
LOG_SCALE = np.float32([0.3, -1.2, 0.0, -0.4])
FACTOR = np.float32([[1.5, 0.3], [-0.7, 0.4], [0.2, -1.1], [0.0, 0.6]])
Q = vd.LowRankNormal(LOC, LOG_SCALE, FACTOR)
COVARIANCE = np.diag(np.exp(2.0 * LOG_SCALE)) + np.float64(FACTOR) @ FACTOR.T
EXACT = stats.multivariate_normal(LOC, COVARIANCE)
# The same distribution by its full covariance.
FULL = vd.MultivariateNormal(LOC, np.linalg.cholesky(COVARIANCE))


def test_density_entropy_and_moments_match_the_explicit_covariance(key):
  z = np.float32(LOC + 2 * np.asarray(jax.random.normal(key, (6, 4))))
  value = jax.jit(jax.vmap(Q.log_prob))(z)
  np.testing.assert_allclose(value, EXACT.logpdf(z), rtol=1e-5)
  np.testing.assert_allclose(Q.entropy(), EXACT.entropy(), rtol=1e-6)
  np.testing.assert_array_equal(Q.mean(), LOC)
  np.testing.assert_allclose(Q.variance(), np.diag(COVARIANCE), rtol=1e-6)
  np.testing.assert_allclose(Q.covariance(), COVARIANCE, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
def test_noise_has_the_size_of_z_and_the_inverse_is_exact(key):
  eps = jax.random.normal(key, (4,))
  z = Q.transform(eps)
  np.testing.assert_allclose(Q.inverse(z), eps, atol=1e-6)
  jacobian = np.asarray(jax.jacfwd(Q.transform)(eps), np.float64)
  np.testing.assert_allclose(jacobian @ jacobian.T, COVARIANCE, atol=1e-5)
  by_jacobian = vd.change_of_variables(Q, z)
  np.testing.assert_allclose(Q.log_prob(z), by_jacobian, rtol=1e-5)
  np.testing.assert_array_equal(Q.mirror(eps), -eps)


def test_density_integrates_to_one_in_one_and_two_dimensions():
  line, step = np.linspace(-12, 12, 401, dtype=np.float32), 24 / 400
  for n in (1, 2):
    q = vd.LowRankNormal(LOC[:n], LOG_SCALE[:n], FACTOR[:n])
    grid = np.stack(np.meshgrid(*[line] * n), axis=-1).reshape(-1, n)
    log_p = jax.jit(jax.vmap(q.log_prob))(grid)
    density = np.exp(np.asarray(log_p, np.float64))
    np.testing.assert_allclose(density.sum() * step**n, 1, atol=1e-5)


@pytest.mark.slow
def test_draw_and_log_prob_is_the_density_of_the_draw(key):
  """In value and gradient; 20,000 draws have the mean and the covariance."""

  def separate(q, key):
    z = q.draw(key)
    return z, q.log_prob(z)

  def of(f):
    total = lambda q, key: jnp.sum(jnp.stack([jnp.sum(x) for x in f(q, key)]))
    return jax.jit(lambda q, key: (f(q, key), jax.grad(total)(q, key)))

  with jax.debug_key_reuse(False):
    joint = of(lambda q, key: q.draw_and_log_prob(key))(Q, key)
    apart = of(separate)(Q, key)
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
  jax.tree.map(close, joint, apart)
  keys = jax.random.split(jax.random.fold_in(key, 1), 20_000)
  z = np.asarray(jax.jit(jax.vmap(Q.draw))(keys))
  assert_mean(z, LOC)
  outer = (z - LOC)[:, :, None] * (z - LOC)[:, None]
  assert_mean(outer, COVARIANCE)


P_LOC = np.float32([0, 0.4, 1.0, -0.2])
P_LOG_SCALE = np.float32([0, -0.3, 1, 0])
TURNED = COVARIANCE[::-1, ::-1]
OTHERS = {
  'standard': vd.Normal(np.zeros(4, np.float32), 0.0),
  'normal': vd.Normal(P_LOC, P_LOG_SCALE),
  'full': vd.MultivariateNormal(P_LOC, np.linalg.cholesky(TURNED)),
  'low rank': vd.LowRankNormal(P_LOC, P_LOG_SCALE, FACTOR[::-1, :1]),
}


@pytest.mark.slow
def test_kl_is_that_of_the_full_normal():
  """In both directions, with the gradient where the prior is a normal."""

  def by_covariance(q):
    if not isinstance(q, vd.LowRankNormal):
      return q
    return vd.MultivariateNormal(q.loc, jnp.linalg.cholesky(q.covariance()))

  def every(change, q):
    kl = lambda q, p: vj.kl(change(q), change(p))
    pairs = [[kl(q, p), kl(p, q)] for p in OTHERS.values()]
    return jnp.array([*pairs, [kl(q, q), 0.0]])

  forms = (lambda q: q, by_covariance)
  values = [jax.jit(lambda q, c=change: every(c, q))(Q) for change in forms]
  np.testing.assert_allclose(*values, rtol=1e-4, atol=1e-5)
  slopes = [
    jax.jit(jax.grad(lambda q, c=c: vj.kl(c(q), OTHERS['normal'])))(Q)
    for c in forms
  ]
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
  jax.tree.map(close, *slopes)


def test_small_divergences_keep_their_digits():
  """KL of 2.5e-9; a float32 sum of terms of order 1 is off by 1e-7."""
  v = np.float32([[1e-2], [0], [0], [0]])
  zeros = np.zeros(4, np.float32)
  found = vj.kl(vd.LowRankNormal(zeros, zeros, v), vd.Normal(zeros, 0.0))
  s = np.float64(v[0, 0]) ** 2
  # L is sqrt(1 + s) to a relative 6e-8, so the KL to 4 x 6e-8 / s.
  exact = 0.5 * (s - np.log1p(s))
  np.testing.assert_allclose(found, exact, rtol=2.4e-7 / s)


@pytest.mark.slow
def test_gradients_are_finite_where_singular_values_meet(key):
  """At U = 0, at orthogonal columns of one length, and at equal columns."""
  factors = jnp.stack([jnp.zeros((4, 2)), jnp.eye(4, 2), jnp.ones((4, 2))])

  def everything(q):
    z, log_q = q.draw_and_log_prob(key)
    kl = vj.kl(q, OTHERS['normal'])
    return jnp.sum(z) + log_q + q.log_prob(2 * z) + 3 * q.entropy() + kl

  def derivatives(factor):
    q = dataclasses.replace(Q, factor=factor)
    ones = jax.tree.map(jnp.ones_like, q)
    return jax.jvp(jax.grad(everything), (q,), (ones,))

  with jax.debug_key_reuse(False):
    found = jax.jit(jax.vmap(derivatives))(factors)
  for leaf in jax.tree.leaves(found):
    assert np.all(np.isfinite(leaf))


def test_factors_of_any_size_keep_a_finite_density(key):
  """I + V'V itself is singular in float32 from V of 1e4 on."""
  draw = np.random.RandomState(0).standard_normal((6, 1))
  # Two nearly parallel columns.
  v = np.concatenate([draw, draw * (1 + 1e-5)], axis=1)
  sizes = np.array([1e-30, 1.0, 1e4, 1e10])
  u = np.float32(sizes[:, None, None] * v)

  @jax.jit
  @jax.vmap
  def program(u):
    q = vd.LowRankNormal(np.zeros(6, np.float32), 0.0, u)
    slope = jax.grad(lambda q: q.draw_and_log_prob(key)[1])(q)
    return capacitance_root(u), slope.factor

  with jax.debug_key_reuse(False):
    found, slopes = program(u)
  assert np.all(np.diagonal(found, axis1=1, axis2=2) >= 1)
  assert np.all(np.isfinite(slopes))
  exact = np.linalg.cholesky(np.eye(2) + np.float64(u).transpose(0, 2, 1) @ u)
  np.testing.assert_allclose(found[:, 0, 0], exact[:, 0, 0], rtol=1e-5)


def test_mismatched_shapes_are_refused():
  with pytest.raises(ValueError, match=r'factor has shape \(3, 2\)'):
    vd.LowRankNormal(LOC, LOG_SCALE, FACTOR[:3])
