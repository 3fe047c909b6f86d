"""The ELBO of discrete latents against a sum over every value."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.helpers import assert_mean, assert_trees_close

DRAWS = 20_000
X = jnp.array([0.7, -0.4])
PARAMS = {
  'logits': jnp.array([0.4, -0.9]),
  'prior': jnp.array([-0.3, 0.2]),
  'weights': jnp.array([[1.0, -0.5], [0.3, 0.8]]),
}
NUM_SAMPLES = {'disarm': 2}


def parts(params):
  """Returns q, p(z) and log p(x|z), which has an interaction of the bits."""

  def log_likelihood(z):
    loc = params['weights'] @ z + z[0] * z[1]
    return vj.Normal(loc, jnp.full(2, -0.5)).log_prob(X)

  q, prior = vj.Bernoulli(params['logits']), vj.Bernoulli(params['prior'])
  return q, prior, log_likelihood


def parts_of_labels(params):
  """Returns a model of one label of 2, one-hot or not, in the same numbers."""

  def log_likelihood(z):
    one_hot = z if jnp.ndim(z) == 2 else jax.nn.one_hot(z, 2)
    loc = params['weights'] @ one_hot[0]
    return vj.Normal(loc, jnp.full(2, -0.5)).log_prob(X)

  q, prior = (vj.Categorical(params[n][None]) for n in ('logits', 'prior'))
  return q, prior, log_likelihood


MODELS = {'bits': parts, 'label': parts_of_labels}


def exact(params, model='bits', beta=1.0):
  """Returns sum_z q(z) (log p(x|z) - beta log q(z) / p(z)), by a loop."""
  q, prior, log_likelihood = MODELS[model](params)
  values = (
    [jnp.array(z, float) for z in itertools.product([0, 1], repeat=2)]
    if model == 'bits'
    else [jnp.array([0]), jnp.array([1])]
  )
  total = 0.0
  for z in values:
    log_q = q.log_prob(z)
    cost = beta * (log_q - prior.log_prob(z))
    total += jnp.exp(log_q) * (log_likelihood(z) - cost)
  return total


def bound(key, params, model='bits', **options):
  return vj.elbo(key, *MODELS[model](params), **options).elbo


@functools.cache
def truth(model='bits'):
  return jax.jit(jax.value_and_grad(exact), static_argnums=1)(PARAMS, model)


def draws_of(key, num_draws=DRAWS, **options):
  both = jax.value_and_grad(functools.partial(bound, **options), 1)
  keys = jax.random.split(key, num_draws)
  return jax.jit(jax.vmap(both, (0, None)))(keys, PARAMS)


@pytest.mark.slow
@pytest.mark.parametrize('model', MODELS)
def test_enumeration_is_exact_in_every_form(model, key):
  def all_forms(params):
    options = {'model': model, 'estimator': 'enumeration', 'beta': 0.7}
    forms = ('kl', 'entropy', 'joint', 'auto')
    keys = jax.random.split(key, len(forms))
    return [
      jax.value_and_grad(bound, 1)(k, params, form=form, **options)
      for form, k in zip(forms, keys, strict=True)
    ]

  wanted = jax.jit(lambda p: jax.value_and_grad(exact)(p, model, 0.7))(PARAMS)
  for found in jax.jit(all_forms)(PARAMS):
    assert_trees_close(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
  'form',
  [
    'joint',
    *(pytest.param(f, marks=pytest.mark.slow) for f in ('kl', 'entropy')),
  ],
)
def test_disarm_is_unbiased_in_every_form(form, key):
  """Nine comparisons at 6 standard errors: false alarms below 2e-8."""
  found = draws_of(key, form=form, estimator='disarm', num_samples=2)
  jax.tree.map(assert_mean, found, truth())


@pytest.mark.parametrize(
  'model', ['bits', pytest.param('label', marks=pytest.mark.slow)]
)
@pytest.mark.parametrize('estimator', ['gumbel_softmax', 'straight_through'])
def test_relaxations_are_biased_in_the_encoder_alone(estimator, model, key):
  """Seven comparisons at 6 standard errors: false alarms below 2e-8."""
  value, gradient = draws_of(
    key, model=model, estimator=estimator, temperature=1.0
  )
  true_value, true_gradient = truth(model)
  assert_mean(value, true_value)
  for name in ('prior', 'weights'):
    assert_mean(gradient[name], true_gradient[name])
  error = np.std(gradient['logits'], axis=0) / np.sqrt(DRAWS)
  difference = np.mean(gradient['logits'], axis=0) - true_gradient['logits']
  assert np.max(np.abs(difference) / error) > 10


def test_auxiliary_outputs_are_those_of_the_points(key):
  def with_aux(estimator):
    q, prior, log_likelihood = parts(PARAMS)
    return vj.elbo(
      jax.random.clone(key),
      q,
      prior,
      lambda z: (log_likelihood(z), 2 * z),
      estimator=estimator,
      num_samples=NUM_SAMPLES.get(estimator, 1),
      has_aux=True,
    )

  counts = {'enumeration': 4, 'disarm': 2, 'gumbel_softmax': 1}
  for estimator, count in (counts | {'straight_through': 1}).items():
    terms, (z, aux) = jax.jit(with_aux, static_argnums=0)(estimator)
    assert z.shape == (count, 2)
    np.testing.assert_array_equal(aux, 2 * z)
    np.testing.assert_array_equal(z, np.round(z))
    assert terms.elbo.shape == ()


@pytest.mark.parametrize(
  ('options', 'error', 'message'),
  [
    (
      {'estimator': 'enumeration', 'num_samples': 3},
      ValueError,
      "num_samples is 3: estimator 'enumeration' draws none",
    ),
    (
      {'estimator': 'disarm', 'num_samples': 3},
      ValueError,
      'num_samples is 3: antithetic',
    ),
    (
      {'estimator': 'disarm', 'num_samples': 2, 'model': 'label'},
      TypeError,
      'Categorical has no DisARM gradient',
    ),
    (
      {'estimator': 'gumbel_softmax', 'form': 'joint'},
      ValueError,
      "estimator is 'gumbel_softmax' and form 'joint': must be 'kl'",
    ),
    (
      {'estimator': 'straight_through', 'form': 'entropy'},
      ValueError,
      "'straight_through' and form 'entropy'",
    ),
    (
      {'estimator': 'gumbel_softmax', 'temperature': 0.0},
      ValueError,
      'temperature is 0.0: must be above 0',
    ),
  ],
)
def test_invalid_options_are_refused(options, error, message, key):
  with pytest.raises(error, match=message):
    bound(key, PARAMS, **options)


@pytest.mark.parametrize(
  'estimator', ['enumeration', 'disarm', 'gumbel_softmax', 'straight_through']
)
def test_a_continuous_posterior_is_refused(estimator, key):
  q = vj.Normal(jnp.zeros(2), 0.0)
  with pytest.raises(TypeError, match=r'Normal .*use `vj\.score_function`'):
    vj.elbo(
      key,
      q,
      q,
      lambda z: jnp.sum(z),
      estimator=estimator,
      num_samples=NUM_SAMPLES.get(estimator, 1),
    )


def test_a_bound_of_several_samples_cannot_be_enumerated(key):
  q, prior, log_likelihood = parts(PARAMS)
  log_joint = lambda z: log_likelihood(z) + prior.log_prob(z)
  with pytest.raises(ValueError, match="estimator is 'enumeration': must be"):
    vj.iw_elbo(key, q, log_joint, num_samples=2, estimator='enumeration')
