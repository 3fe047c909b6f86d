import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.models.quick_jit import quick_jit


@pytest.fixture
def quick():
  """The setting of users: tests compile with no optimisations at all."""
  jax.config.update('jax_disable_most_optimizations', False)
  yield quick_jit(lambda x, y: {'sum': x + y, 'product': x * y})
  jax.config.update('jax_disable_most_optimizations', True)


def test_quick_jit_equals_jit_also_within_other_programs(quick):
  x, y = jnp.arange(3.0), jnp.full(3, 2.0)
  expected = {'sum': np.array([2, 3, 4]), 'product': np.array([0, 2, 4])}
  same = lambda found: jax.tree.map(
    np.testing.assert_array_equal, found, expected
  )
  same(quick(x, y))
  same(jax.jit(quick)(x, y))
  same(jax.vmap(quick)(x, y))
  # No argument is traced: only the program around it tells.
  same(jax.jit(lambda: quick(x, y))())
  assert jax.eval_shape(lambda: quick(x, y))['sum'].shape == (3,)
  gradient = jax.grad(lambda x: quick(x, y)['product'].sum())(x)
  np.testing.assert_array_equal(gradient, y)


def test_static_arguments_are_constants():
  tile = lambda x, *, count: jnp.tile(x, count)
  repeat = quick_jit(tile, static_argnames=['count'])
  assert repeat(jnp.ones(2), count=3).shape == (6,)
