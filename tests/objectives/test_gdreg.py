"""Two stochastic layers: gradients of phi, theta and the prior, exactly.

Each comparison fails a correct library with probability 2e-9 (6 sigma); the
about 500 of this file, less than once in a million runs.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests import two_layer_gaussian as two
from tests.helpers import assert_mean
from tests.objectives import exact
from vae_jax.objectives import gdreg

DRAWS = 10_000


def bound(estimator, num_samples=1):
  def one(key, p):
    given = {'prior': two.prior_of(p)} if estimator == 'gdreg' else {}
    return vj.iw_elbo(
      key,
      two.posterior_of(p),
      two.log_joint_of(p),
      num_samples=num_samples,
      estimator=estimator,
      **given,
    )

  return one


def elbo(key, p, **options):
  parts = two.posterior_of(p), two.prior_of(p), two.log_likelihood_of(p)
  return vj.elbo(key, *parts, **options).elbo


def miwae(key, p):
  return vj.miw_elbo(
    key,
    two.posterior_of(p),
    two.log_joint_of(p),
    num_groups=2,
    num_samples=1,
    estimator='gdreg',
    prior=two.prior_of(p),
  )


OF_ONE_SAMPLE = {
  **{name: bound(name) for name in ('pathwise', 'stl', 'dreg', 'gdreg')},
  'elbo': functools.partial(elbo, form='auto'),
  'elbo stl': functools.partial(elbo, form='joint', estimator='stl'),
  'miwae': miwae,
}


@pytest.mark.slow
def test_the_bound_of_the_posterior_is_log_p_of_x():
  p = two.with_posterior(two.params())
  truth = two.log_marginal(p)
  np.testing.assert_allclose(jax.jit(two.elbo)(p), truth, rtol=1e-5)
  for name in ('pathwise', 'gdreg'):
    values, _ = two.draws(bound(name, 3), p, 20)
    np.testing.assert_allclose(values, np.full(20, truth), rtol=1e-5)


@functools.cache
def exact_elbo():
  return jax.jit(jax.value_and_grad(two.elbo))(two.params())


@pytest.mark.quick('dreg')
@pytest.mark.parametrize('name', OF_ONE_SAMPLE)
def test_one_sample_has_the_gradient_of_the_closed_form(name):
  p = two.params()
  value, gradient = exact_elbo()
  values, grads = two.draws(OF_ONE_SAMPLE[name], p, DRAWS)
  assert_mean(values, value)
  for each, truth in gradient.items():
    assert_mean(grads[each], truth)


@functools.cache
def of_three_samples(name):
  return two.draws(bound(name, 3), two.params(), DRAWS, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['dreg', 'gdreg'])
def test_three_samples_have_the_pathwise_gradient(name):
  """Paired by draw; gdreg differs from dreg in the prior alone."""
  values, grads = of_three_samples(name)
  other_values, others = of_three_samples('pathwise')
  np.testing.assert_allclose(values, other_values, rtol=1e-5, atol=1e-5)
  for each, found in grads.items():
    difference = np.asarray(found - others[each])
    changed = each in two.PHI or (name == 'gdreg' and each in two.PRIOR)
    assert (np.max(np.std(difference, axis=0)) > 1e-2) == changed
    assert_mean(difference, np.zeros(difference.shape[1:]))


def test_gdreg_has_the_phi_and_theta_of_dreg():
  (_, ours), (_, dregs) = of_three_samples('gdreg'), of_three_samples('dreg')
  for each in (*two.PHI, *two.THETA):
    np.testing.assert_allclose(ours[each], dregs[each], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_gdreg_has_variance_zero_in_the_prior_where_q_is_the_prior():
  p = two.with_posterior(two.params(), observed=False)
  _, ours = two.draws(bound('gdreg'), p, 50)
  _, dregs = two.draws(bound('dreg'), p, 50)
  for each in two.PRIOR:
    np.testing.assert_allclose(ours[each], 0.0, atol=1e-4)
    assert np.max(np.std(dregs[each], axis=0)) > 0.1


@pytest.mark.parametrize('num_samples', [1, 2])
def test_one_layer_has_the_gradient_of_the_quadrature(num_samples):
  def one(key, p):
    q, prior = exact.posterior_of(p), exact.prior_of(p)
    joint, options = exact.log_joint_of(p), {'num_samples': num_samples}
    return vj.iw_elbo(key, q, joint, estimator='gdreg', prior=prior, **options)

  value, gradient = exact.expectation(exact.iwae, num_samples, 30)
  values, grads = two.draws(one, exact.params(), DRAWS)
  assert_mean(values, value)
  for each, truth in gradient.items():
    assert_mean(grads[each], truth)


def test_draws_outside_the_support_of_the_prior_have_no_gradient():
  """q is normal and p(z) exponential: negative draws have the weight 0."""

  def one(key, log_rate):
    q, prior = vj.Normal(jnp.zeros(2), jnp.zeros(2)), vj.Exponential(log_rate)
    joint = lambda z: prior.log_prob(z) + vj.Normal(z, 0.0).log_prob(z + 0.3)
    return vj.iw_elbo(
      key, q, joint, num_samples=4, estimator='gdreg', prior=prior
    )

  values, grads = two.draws(one, jnp.zeros(2), 50)
  assert np.any(np.isneginf(values))
  assert np.all(np.isfinite(grads))


def given(estimator, **options):
  p = two.params()
  return vj.iw_elbo(
    jax.random.key(0),
    two.posterior_of(p),
    two.log_joint_of(p),
    num_samples=2,
    estimator=estimator,
    **options,
  )


def test_a_prior_that_is_missing_not_read_or_not_transformed_is_refused():
  with pytest.raises(TypeError, match="'gdreg': got no prior="):
    given('gdreg')
  with pytest.raises(ValueError, match="estimator 'dreg': only 'gdreg' reads"):
    given('dreg', prior=two.prior_of(two.params()))
  gamma = vj.Gamma(jnp.ones(2), jnp.zeros(2))
  with pytest.raises(TypeError, match=r"Gamma has no such g.*'dreg'"):
    given('gdreg', prior=gamma)
  assert not gdreg.can_reparameterise(vj.Bernoulli(jnp.zeros(2)))
  assert not gdreg.can_reparameterise(vj.Chain(a=gamma))
  assert gdreg.can_reparameterise(two.prior_of(two.params()))


def test_a_prior_whose_support_moves_is_refused_on_differentiation():
  def one(high):
    prior = vj.Uniform(jnp.zeros(()), high)
    q, joint = vj.Uniform(jnp.float32(0), jnp.float32(1)), prior.log_prob
    return vj.iw_elbo(
      jax.random.key(0), q, joint, num_samples=2, estimator='gdreg', prior=prior
    )

  jax.eval_shape(one, jnp.float32(2))
  with pytest.raises(TypeError, match='moves the support'):
    jax.eval_shape(jax.grad(one), jnp.float32(2))


def test_second_derivatives_are_refused():
  one = lambda p: bound('gdreg', 2)(jax.random.key(0), p)
  with pytest.raises(TypeError, match="'gdreg' has no second derivatives"):
    jax.eval_shape(jax.jacfwd(jax.grad(one)), two.params())
