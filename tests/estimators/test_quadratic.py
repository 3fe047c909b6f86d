"""The quadratic control variate: variance 0 on quadratic costs, unbiased."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests.helpers import SIGMAS

Q = vj.Normal(jnp.array([0.4, -1.0, 0.2]), jnp.array([-0.3, 0.2, -1.0]))
A = jnp.array([[2.0, 0.7, -0.3], [0.7, -1.0, 0.5], [-0.3, 0.5, 0.8]])


def quadratic(theta, z):
  return 1.5 + z @ (theta * A) @ z / 2 - 2 * z[0] + theta * z[2]


def exact_quadratic(theta, q):
  variance = jnp.exp(2 * q.log_scale)
  spread = theta * jnp.diagonal(A) @ variance / 2
  return quadratic(theta, q.loc) + spread


@pytest.mark.slow
def test_variance_is_zero_on_a_quadratic_cost(key):
  """In the value, in every gradient, and in the Hessian."""
  keys = jax.random.split(key, 20)

  def estimate(theta, q, key):
    f = lambda z: quadratic(theta, z)
    return vj.pathwise_quadratic(key, q, f, num_samples=2)

  def everything(f, *extra):
    both = jax.grad(f, (0, 1))
    second = lambda theta, q: jax.jvp(
      lambda q: both(theta, q, *extra), (q,), (q,)
    )
    return lambda theta, q: (f(theta, q, *extra), second(theta, q))

  program = jax.vmap(lambda key: everything(estimate, key)(jnp.float32(1.3), Q))
  with jax.debug_key_reuse(False):
    found = jax.jit(program)(keys)
  exact = everything(exact_quadratic)(jnp.float32(1.3), Q)

  def close(draws, truth):
    np.testing.assert_allclose(
      draws, np.broadcast_to(truth, draws.shape), rtol=1e-4, atol=2e-5
    )

  jax.tree.map(close, found, exact)


COSTS = {
  'bell': lambda z: jnp.exp(-jnp.sum((z - 0.5) ** 2)),
  'wave': lambda z: jnp.cos(2 * z[0]) + jnp.sin(z[1] * z[0]) + z[2] ** 3,
  'slope': lambda z: jnp.sum(jnp.tanh(z - 0.5)) + z[0] * z[1],
}


def exact_slopes(f):
  """Gradients of E_q[f] by Gauss-Hermite quadrature."""
  nodes, weights = np.polynomial.hermite_e.hermegauss(24)
  grid = np.stack(np.meshgrid(*[nodes] * 3, indexing='ij'), -1).reshape(-1, 3)
  w = np.prod(np.stack(np.meshgrid(*[weights] * 3, indexing='ij'), -1), -1)
  w = jnp.asarray(w.ravel() / w.sum(), jnp.float32)
  eps = jnp.asarray(grid, jnp.float32)
  mean = lambda q: w @ jax.vmap(lambda e: f(q.transform(e)))(eps)
  return jax.jit(jax.grad(mean))(Q)


@pytest.mark.slow
def test_gradient_is_unbiased_on_other_costs(key):
  """False alarms below 18 x 2e-9; an error of 10 % is found in each cost."""
  costs = list(COSTS.values())
  keys = jax.random.split(key, 32_000)

  def slopes(key, estimator):
    one = lambda f: jax.grad(lambda q: estimator(key, q, f))(Q)
    return [one(f) for f in costs]

  draw = lambda estimator: jax.jit(jax.vmap(lambda k: slopes(k, estimator)))
  with jax.debug_key_reuse(False):
    found = draw(vj.pathwise_quadratic)(keys)
    plain = draw(vj.pathwise)(keys)
  for name, f, own, other in zip(COSTS, costs, found, plain, strict=True):
    exact, powers = exact_slopes(f), []
    for field in ('loc', 'log_scale'):
      samples = np.asarray(getattr(own, field), np.float64)
      truth = np.asarray(getattr(exact, field), np.float64)
      error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples)) + 1e-5
      z = (samples.mean(axis=0) - truth) / error
      assert np.all(np.abs(z) < SIGMAS), (name, field, z)
      powers.append(stats.norm.cdf(0.1 * np.abs(truth) / error - SIGMAS))
    assert np.max(powers) > 0.9, name
    if name == 'slope':
      # Nearly linear within q: most of the variance is gone.
      assert np.var(own.loc) < 0.5 * np.var(other.loc)


def test_other_families_are_refused(key):
  with pytest.raises(TypeError, match='Laplace has no quadratic control'):
    vj.pathwise_quadratic(key, vj.Laplace(jnp.zeros(2), 0.0), jnp.sum)


@pytest.mark.slow
def test_events_of_any_shape_and_shared_scales(key):
  q = vj.Normal(jnp.ones((2, 2)), -0.5)
  f = lambda z: jnp.sum(z**2)
  found = vj.pathwise_quadratic(key, q, f)
  np.testing.assert_allclose(found, 4 + 4 * np.exp(-1.0), rtol=1e-6)
