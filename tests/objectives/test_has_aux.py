"""Auxiliary outputs of `elbo` and `iw_elbo`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj

PRIOR = vj.Normal(jnp.zeros(2), jnp.zeros(2))
P = {'loc': jnp.array([0.3, -0.2]), 'log_scale': jnp.array([-0.5, 0.1])}
N = 3


def posterior_of(p):
  return vj.Normal(p['loc'], p['log_scale'])


def value_of(z):
  return -jnp.sum((z - 1.0) ** 2)


def pair_of(z):
  """A value, and auxiliary outputs of two shapes."""
  return value_of(z), {'sum': jnp.sum(z), 'matrix': jnp.outer(z, z)}


def elbo(p, function, has_aux, **options):
  return vj.elbo(
    jax.random.key(0),
    posterior_of(p),
    PRIOR,
    function,
    num_samples=N,
    has_aux=has_aux,
    **options,
  )


def iw_elbo(p, function, has_aux, num_samples=N, **options):
  return vj.iw_elbo(
    jax.random.key(0),
    posterior_of(p),
    function,
    num_samples=num_samples,
    has_aux=has_aux,
    **options,
  )


def draws(estimator, num_samples):
  make = vj.reparameterise_many
  if estimator in ('score_function', 'vimco'):
    make = vj.sample_many
  return make(jax.random.key(0), posterior_of(P), num_samples)


def assert_aux(z, aux, estimator, num_samples=N):
  """z and aux are those of the draws, with a leading axis of draws."""
  assert z.shape == (num_samples, 2)
  assert jax.tree.map(jnp.shape, aux) == {
    'sum': (num_samples,),
    'matrix': (num_samples, 2, 2),
  }
  np.testing.assert_allclose(z, draws(estimator, num_samples), rtol=1e-6)
  np.testing.assert_allclose(aux['sum'], np.sum(z, axis=1), rtol=1e-5)
  np.testing.assert_allclose(
    aux['matrix'], z[:, :, None] * z[:, None, :], rtol=1e-5
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  'options',
  [
    *({'form': form} for form in ('auto', 'kl', 'entropy', 'joint')),
    {'form': 'joint', 'estimator': 'stl'},
    *(
      {'form': form, 'estimator': 'score_function'}
      for form in ('kl', 'entropy', 'joint')
    ),
  ],
  ids=lambda options: '-'.join(options.values()),
)
def test_aux_of_the_elbo_changes_no_value_and_no_gradient(options):
  with_aux = lambda p: elbo(p, pair_of, True, **options)
  plain = lambda p: elbo(p, value_of, False, **options)

  def everything(p):
    terms, (z, aux) = with_aux(p)
    gradient = jax.grad(lambda p: with_aux(p)[0].elbo)(p)
    return (terms, gradient), (z, aux)

  def expected(p):
    return plain(p), jax.grad(lambda p: plain(p).elbo)(p)

  found, (z, aux) = jax.jit(everything)(P)
  assert isinstance(found[0], vj.ElboTerms)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
    found,
    jax.jit(expected)(P),
  )
  assert_aux(z, aux, options.get('estimator', 'pathwise'))


@pytest.mark.quick('dreg-3')
@pytest.mark.parametrize(
  ('estimator', 'num_samples'),
  [
    ('pathwise', N),
    ('dreg', N),
    ('stl', 1),
    ('score_function', N),
    ('vimco', N),
  ],
)
def test_aux_of_the_iw_elbo_changes_no_value_and_no_gradient(
  estimator, num_samples
):
  options = {'estimator': estimator, 'num_samples': num_samples}
  both = jax.jit(
    jax.value_and_grad(
      lambda p: iw_elbo(p, pair_of, True, **options), has_aux=True
    )
  )
  (value, (z, aux)), gradient = both(P)
  plain = jax.jit(
    jax.value_and_grad(lambda p: iw_elbo(p, value_of, False, **options))
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
    (value, gradient),
    plain(P),
  )
  assert_aux(z, aux, estimator, num_samples)


def test_aux_is_differentiable():
  """Its gradient reaches the parameters of q through z."""
  total = lambda p: jnp.sum(elbo(p, pair_of, True)[1][1]['sum'])
  np.testing.assert_allclose(
    jax.jit(jax.grad(total))(P)['loc'], [N, N], rtol=1e-6
  )


@pytest.mark.parametrize('function', [elbo, iw_elbo])
def test_value_beside_aux_must_be_a_scalar(function):
  vector = lambda z: (z, None)
  with pytest.raises(ValueError, match=r'shape \(2,\).*scalar'):
    function(P, vector, True)
