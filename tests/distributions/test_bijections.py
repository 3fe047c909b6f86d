"""Bijections: log-determinants, inverses, masks and contexts."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj

CONTEXT = jnp.array([0.3, -1.2, 0.7])


def perturb(tree, scale=0.5):
  """Adds noise to every parameter: layers start at the identity."""
  leaves, structure = jax.tree.flatten(tree)
  keys = jax.random.split(jax.random.key(5), max(1, len(leaves)))
  return jax.tree.unflatten(
    structure,
    [
      leaf + scale * jax.random.normal(key, jnp.shape(leaf))
      for key, leaf in zip(keys, leaves, strict=False)
    ],
  )


def make(kind, size):
  """Returns a bijection of `size` dimensions."""
  key = jax.random.key(size)
  context = {'context': CONTEXT} if 'context' in kind else {}
  if kind == 'affine':
    return vj.Affine(jnp.arange(1.0, size + 1), jnp.linspace(-1.0, 2.0, size))
  if kind == 'permutation':
    return vj.Permutation(tuple(np.roll(np.arange(size), 2).tolist()))
  family = vj.AffineCoupling if 'coupling' in kind else vj.MaskedAutoregressive
  return perturb(family.init(key, size, width=8, **context))


KINDS = [
  'affine',
  'permutation',
  'coupling',
  'coupling with context',
  'autoregressive',
  'autoregressive with context',
]
LEARNED = KINDS[2:]


@functools.cache
def results(kind, size):
  x = jnp.linspace(-1.5, 2.0, size) ** 3 / 2 + 0.1

  @jax.jit
  def program(f, x):
    y, log_det = f.forward_and_log_det(x)
    jacobian = jax.jacfwd(lambda x: f.forward_and_log_det(x)[0])(x)
    return {
      'x': x,
      'y': y,
      'log_det': log_det,
      'jacobian': jacobian,
      'inverse': f.inverse_and_log_det(y),
      'again': f.forward_and_log_det(f.inverse_and_log_det(x)[0])[0],
      'reverse': jax.grad(lambda y: f.inverse_and_log_det(y)[0].sum())(y),
    }

  return program(make(kind, size), x)


@pytest.mark.quick(
  'permutation-5',
  'permutation-1',
  'affine-1',
  'affine-5',
  'coupling with context-1',
  'autoregressive with context-5',
)
@pytest.mark.parametrize('size', [1, 5])
@pytest.mark.parametrize('kind', KINDS)
def test_log_determinant_is_that_of_the_jacobian(kind, size):
  found = results(kind, size)
  exact = np.linalg.slogdet(np.asarray(found['jacobian'], float))[1]
  np.testing.assert_allclose(found['log_det'], exact, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(
    found['inverse'][1], -found['log_det'], rtol=1e-5, atol=1e-5
  )
  assert found['log_det'].shape == ()
  if kind != 'permutation':
    assert abs(found['log_det']) > 0.01
    assert not np.allclose(found['y'], found['x'])


@pytest.mark.parametrize('size', [1, 5])
@pytest.mark.parametrize('kind', KINDS)
def test_inverse_returns_the_input_to_rounding(kind, size):
  found = results(kind, size)
  np.testing.assert_allclose(
    found['inverse'][0], found['x'], rtol=1e-5, atol=1e-5
  )
  np.testing.assert_allclose(found['again'], found['x'], rtol=1e-5, atol=1e-5)
  # d sum(x) / dy is the sum of the rows of the inverse Jacobian.
  inverse = np.linalg.inv(np.asarray(found['jacobian'], float))
  np.testing.assert_allclose(
    found['reverse'], inverse.sum(0), rtol=1e-3, atol=1e-3
  )


def test_autoregressive_jacobian_is_lower_triangular_and_full():
  jacobian = np.asarray(results('autoregressive', 5)['jacobian'])
  np.testing.assert_array_equal(np.triu(jacobian, 1), 0)
  assert np.all(jacobian[np.tril_indices(5)] != 0)


@pytest.mark.parametrize('kind', ['coupling', 'autoregressive'])
def test_every_changed_output_depends_on_the_context(kind):
  f = make(f'{kind} with context', 5)
  x = jnp.linspace(-1.0, 1.0, 5)
  slope = jax.jacfwd(
    lambda c: dataclasses.replace(f, context=c).forward_and_log_det(x)[0]
  )(CONTEXT)
  changed = slope[2:] if kind == 'coupling' else slope
  assert np.all(changed != 0)


@pytest.mark.quick('MaskedAutoregressive')
@pytest.mark.parametrize('family', [vj.AffineCoupling, vj.MaskedAutoregressive])
def test_initial_map_is_the_identity_and_has_a_gradient(family):
  f = family.init(jax.random.key(0), 4, width=8)
  x = jnp.array([0.5, -1.0, 2.0, 0.1])
  y, log_det = f.forward_and_log_det(x)
  np.testing.assert_array_equal(y, x)
  assert log_det == 0
  slope = jax.grad(lambda f: f.forward_and_log_det(x)[0].sum())(f)
  assert np.any(slope.layers[-1][0] != 0)


@pytest.mark.parametrize('kind', LEARNED)
def test_log_scales_stay_bounded_for_any_parameter(kind):
  f = jax.tree.map(lambda leaf: 1e6 * leaf, make(kind, 4))
  y, log_det = f.forward_and_log_det(jnp.ones(4))
  assert np.all(np.isfinite(y))
  assert abs(log_det) <= 12


def test_an_order_with_repetitions_is_refused():
  with pytest.raises(ValueError, match=r'order: got \(0, 0, 2\)'):
    vj.Permutation((0, 0, 2))
  assert vj.Permutation.reversal(3).order == (2, 1, 0)


def test_a_bijection_without_inverse_is_refused_by_name():
  class OneWay(vj.Bijection):
    has_inverse = False

  with pytest.raises(TypeError, match='OneWay has no inverse'):
    OneWay().inverse_and_log_det(jnp.ones(2))
