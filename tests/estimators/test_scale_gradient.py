import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.estimators import scale_gradient


def test_the_value_is_kept_and_the_gradient_scaled():
  x = jnp.array([1.0, -2.0])
  f = lambda x, factor: jnp.sum(scale_gradient(x, factor) ** 3)
  np.testing.assert_allclose(f(x, 0.25), jnp.sum(x**3))
  np.testing.assert_allclose(jax.grad(f)(x, 0.25), 0.25 * 3 * x**2)
  np.testing.assert_array_equal(jax.grad(f)(x, 0.0), 0.0)
  # Forwards as well, under vmap and jit.
  _, tangent = jax.jvp(lambda x: f(x, 0.25), (x,), (jnp.ones(2),))
  np.testing.assert_allclose(tangent, jnp.sum(0.25 * 3 * x**2))
  factors = jnp.array([0.5, 2.0, 1.0])
  each = jax.jit(jax.vmap(jax.grad(f), (None, 0)))(x, factors)
  np.testing.assert_allclose(each, factors[:, None] * 3 * x[None] ** 2)


def test_the_factor_is_never_differentiated():
  f = lambda factor: jnp.sum(scale_gradient(jnp.ones(3), factor))
  assert jax.grad(f)(0.3) == 0.0
