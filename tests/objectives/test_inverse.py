"""Posteriors without an inverse: a density for their own draws only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.objectives import resolve_form

PRIOR = vj.Normal(jnp.zeros(2), jnp.zeros(2))


@vj.distribution
class OneWay(vj.Distribution):
  """A normal that defines `shape` and `draw_and_log_prob` only."""

  loc: jax.Array
  log_scale: jax.Array

  @property
  def shape(self):
    return jnp.shape(self.loc)

  def draw_and_log_prob(self, key):
    q = vj.Normal(self.loc, self.log_scale)
    z = q.transform(q.noise(key))
    return z, q.log_prob(z)


P = {'loc': jnp.array([0.3, -0.2]), 'log_scale': jnp.array([-0.5, 0.1])}


def log_likelihood(z):
  return -jnp.sum((z - 1.0) ** 2)


def log_joint(z):
  return log_likelihood(z) + PRIOR.log_prob(z)


def one_way(p=P):
  return OneWay(p['loc'], p['log_scale'])


REFUSED = {
  'elbo stl': lambda key, q: vj.elbo(
    key, q, PRIOR, log_likelihood, form='joint', estimator='stl'
  ),
  'elbo score_function': lambda key, q: vj.elbo(
    key, q, PRIOR, log_likelihood, form='joint', estimator='score_function'
  ),
  'mixed_elbo': lambda key, q: vj.mixed_elbo(
    key, q, PRIOR, log_likelihood, coefficient=0.5
  ),
  **{
    f'iw_elbo {estimator}': lambda key, q, e=estimator, k=k: vj.iw_elbo(
      key, q, log_joint, num_samples=k, estimator=e
    )
    for estimator, k in {
      'stl': 1,
      'dreg': 2,
      'score_function': 2,
      'vimco': 2,
    }.items()
  },
  'mixed_iw_elbo': lambda key, q: vj.mixed_iw_elbo(
    key, q, log_joint, num_samples=2, coefficient=0.5
  ),
  'control_variate': lambda key, q: vj.control_variate(
    key, q, log_joint, num_samples=2, weighted=True
  ),
  'miw_elbo dreg': lambda key, q: vj.miw_elbo(
    key, q, log_joint, num_groups=2, num_samples=2, estimator='dreg'
  ),
  'piw_elbo': lambda key, q: vj.piw_elbo(
    key, q, log_joint, num_groups=2, num_samples=2
  ),
  'ciw_elbo dreg': lambda key, q: vj.ciw_elbo(
    key, q, log_joint, num_samples=2, elbo_weight=0.5, estimator='dreg'
  ),
}


@pytest.mark.parametrize('name', REFUSED)
def test_estimators_that_evaluate_log_q_are_refused(name, key):
  """The message names the estimator, the class and an alternative."""
  estimator = {'mixed_elbo': 'adaptive', 'mixed_iw_elbo': 'adaptive'}.get(name)
  estimator = estimator or name.split()[-1].replace(
    'control_variate', 'adaptive'
  )
  with pytest.raises(
    TypeError,
    match=f"{estimator}.*OneWay has no inverse: use estimator='pathwise'",
  ):
    REFUSED[name](key, one_way())


ADMITTED = {
  'elbo joint': lambda key, q: (
    vj.elbo(key, q, PRIOR, log_likelihood, form='joint', num_samples=3).elbo
  ),
  'elbo auto': lambda key, q: (
    vj.elbo(key, q, PRIOR, log_likelihood, form='auto', num_samples=3).elbo
  ),
  'iw_elbo': lambda key, q: vj.iw_elbo(key, q, log_joint, num_samples=3),
  'miw_elbo': lambda key, q: vj.miw_elbo(
    key, q, log_joint, num_samples=3, num_groups=2
  ),
  'ciw_elbo': lambda key, q: vj.ciw_elbo(
    key, q, log_joint, num_samples=3, elbo_weight=0.3
  ),
  'renyi_elbo': lambda key, q: vj.renyi_elbo(
    key, q, log_joint, num_samples=3, alpha=0.5
  ),
}


@pytest.mark.quick('elbo joint', 'elbo auto')
@pytest.mark.parametrize('name', ADMITTED)
def test_pathwise_estimators_equal_those_of_the_same_normal(name):
  """Value and gradient, of the same draws."""
  at = lambda make: jax.jit(
    jax.value_and_grad(lambda p: ADMITTED[name](jax.random.key(0), make(p)))
  )(P)
  if name == 'elbo auto':
    # Of the normal, 'auto' would be the closed form.
    joint = ADMITTED['elbo joint']
    expected = jax.jit(
      jax.value_and_grad(
        lambda p: joint(jax.random.key(0), vj.Normal(p['loc'], p['log_scale']))
      )
    )(P)
  else:
    expected = at(lambda p: vj.Normal(p['loc'], p['log_scale']))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
    at(one_way),
    expected,
  )


NORMAL = vj.Normal(jnp.zeros(2), jnp.zeros(2))
LAPLACE = vj.Laplace(jnp.zeros(2), jnp.zeros(2))


@pytest.mark.parametrize(
  ('estimator', 'q', 'prior', 'form'),
  [
    ('pathwise', NORMAL, NORMAL, 'kl'),
    ('pathwise', LAPLACE, NORMAL, 'entropy'),
    ('pathwise', one_way(), NORMAL, 'joint'),
    ('score_function', NORMAL, NORMAL, 'kl'),
    ('score_function', LAPLACE, NORMAL, 'entropy'),
    ('stl', NORMAL, NORMAL, 'joint'),
    ('adaptive', NORMAL, NORMAL, 'joint'),
  ],
)
def test_auto_is_the_first_form_that_exists(estimator, q, prior, form):
  assert resolve_form('auto', estimator, q, prior) == form
  # Any other form is returned as it is.
  assert resolve_form('entropy', estimator, q, prior) == 'entropy'
  if estimator == 'adaptive':
    return
  at = lambda form: jax.jit(
    lambda: vj.elbo(
      jax.random.key(1),
      q,
      prior,
      log_likelihood,
      form=form,
      estimator=estimator,
    )
  )()
  np.testing.assert_array_equal(at('auto'), at(form))


def test_unknown_form_is_refused_with_the_choices():
  with pytest.raises(ValueError, match=r"form is 'nope'.*'auto'.*'joint'"):
    resolve_form('nope', 'pathwise', NORMAL, NORMAL)
