"""Flat graphs of functions: folded, pruned, equal to the function."""

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.runs.report.decoder import graph


def network(params, z):
  h = jax.nn.relu(params['w'] @ z)
  scale = jnp.exp(jnp.clip(params['log_scale'], -2, 2))
  return {
    'unused': jnp.sort(params['w'], axis=None),
    'y': scale * jax.jit(jax.nn.softplus)(h),
    'h': h,
  }


PARAMS = {'w': jnp.arange(6.0).reshape(3, 2), 'log_scale': jnp.float32(5)}
Z = jnp.array([0.5, -1.0])


def test_calls_are_inlined_and_parameters_folded():
  found, names = graph.trace(network, PARAMS, Z)
  assert names == ['h', 'y']
  used = [each.primitive.name for each in found.equations]
  assert not {*used} & {'jit', 'pjit', 'custom_jvp_call', 'sort', 'clamp'}
  scalars = [x for x in found.constants.values() if x.size == 1]
  assert any(np.isclose(x, np.exp(2)) for x in scalars)
  expected = network(PARAMS, Z)
  values = graph.evaluate(found, found.constants, Z)
  for name, value in zip(names, values, strict=True):
    np.testing.assert_allclose(value, expected[name], rtol=1e-6)


def test_equations_without_use_are_left_out():
  def function(params, z):
    jnp.sort(z)
    return {'y': z + params}

  found, _ = graph.trace(function, jnp.ones(2), Z)
  assert [each.primitive.name for each in found.equations] == ['add']


def test_known_values_that_no_result_needs_are_not_computed():
  def function(params, z):
    return {'constant': jax.pure_callback(fail, params, params), 'y': 2 * z}

  def fail(x):
    raise AssertionError('computed')

  found, names = graph.trace(function, jnp.ones(2), Z)
  assert names == ['y']
  assert len(found.constants) == 1
