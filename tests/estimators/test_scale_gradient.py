import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.estimators import scale_gradient


def test_value_is_unchanged_and_gradient_scaled():
  x = jnp.array([1.0, -2.0])
  f = lambda x, factor: jnp.sum(scale_gradient(x, factor) ** 3)
  np.testing.assert_allclose(f(x, 0.25), jnp.sum(x**3))
  np.testing.assert_allclose(jax.grad(f)(x, 0.25), 0.25 * 3 * x**2)
  np.testing.assert_array_equal(jax.grad(f)(x, 0.0), 0.0)
  # In forward mode, and under vmap and jit.
  _, tangent = jax.jvp(lambda x: f(x, 0.25), (x,), (jnp.ones(2),))
  np.testing.assert_allclose(tangent, jnp.sum(0.25 * 3 * x**2))
  factors = jnp.array([0.5, 2.0, 1.0])
  each = jax.jit(jax.vmap(jax.grad(f), (None, 0)))(x, factors)
  np.testing.assert_allclose(each, factors[:, None] * 3 * x[None] ** 2)


def test_factor_has_zero_gradient():
  f = lambda factor: jnp.sum(scale_gradient(jnp.ones(3), factor))
  assert jax.grad(f)(0.3) == 0.0


def test_every_leaf_of_a_pytree_is_scaled():
  z = {'z1': jnp.array([1.0, -2.0]), 'z2': jnp.array(3.0)}
  f = lambda z: sum(
    jnp.sum(x**3) for x in jax.tree.leaves(scale_gradient(z, 0.25))
  )
  np.testing.assert_allclose(f(z), 20.0)
  slope = jax.grad(f)(z)
  np.testing.assert_allclose(slope['z1'], [0.75, 3.0])
  np.testing.assert_allclose(slope['z2'], 6.75)
