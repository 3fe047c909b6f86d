import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.evaluate.free_parameters import free_parameters
from vae_jax.evaluate.gaps import fit_posterior


def test_a_family_without_bounds_is_its_own_free_parameters():
  q = vj.Normal(jnp.zeros(2), jnp.zeros(2))
  free, rebuild = free_parameters(q)
  assert free is q
  assert rebuild(q) is q


def test_bounded_parameters_move_as_logarithms_of_their_excess():
  q = vj.Gamma(jnp.array([0.5, 3.0]), jnp.array([1.0, -1.0]))
  free, rebuild = free_parameters(q)
  np.testing.assert_allclose(free['concentration'], np.log([0.5, 3.0]))
  back = rebuild(free)
  np.testing.assert_allclose(back.concentration, q.concentration, rtol=1e-6)
  np.testing.assert_array_equal(back.log_rate, q.log_rate)
  moved = rebuild(jax.tree.map(lambda x: x - 50, free))
  assert np.all(moved.concentration > 0)


def test_degrees_of_freedom_are_not_free():
  q = vj.StudentT(jnp.float32(5.0), jnp.zeros(2), jnp.zeros(2))
  free, rebuild = free_parameters(q)
  assert set(free) == {'loc', 'log_scale'}
  moved = rebuild(jax.tree.map(lambda x: x + 1, free))
  assert moved.df == 5
  np.testing.assert_array_equal(moved.loc, 1.0)


@pytest.mark.slow
def test_the_best_gamma_is_the_posterior(key):
  """Gamma(a, b) and Exponential x: the posterior is Gamma(a + 1, b + x)."""
  prior, x = vj.Gamma(jnp.array([0.6]), jnp.log(jnp.array([2.0]))), 0.7
  log_joint = lambda z: (
    prior.log_prob(z) + vj.Exponential(jnp.log(z)).log_prob(jnp.array([x]))
  )
  # Adam moves a logarithm by 2 at most in 400 steps.
  start = vj.Gamma(jnp.array([0.8]), jnp.array([0.2]))
  fit = jax.jit(lambda key: fit_posterior(key, start, log_joint, 400))
  exact = vj.Gamma(jnp.array([1.6]), jnp.log(jnp.array([2.7])))
  assert vj.kl(fit(key), exact) < 0.01
  assert vj.kl(start, exact) > 0.05
