"""Gumbel-softmax and straight-through against quadrature and enumeration."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.helpers import assert_mean

DRAWS = 40_000
LOGIT, THETA = 0.7, 1.5
ESTIMATORS = {
  'gumbel_softmax': functools.partial(vj.gumbel_softmax, temperature=0.4),
  'straight_through': functools.partial(vj.straight_through, temperature=0.4),
  'mean': functools.partial(vj.straight_through, temperature=None),
}
# A draw of two labels is that of a bit: the noise of a difference of two
# Gumbels is logistic.
FAMILIES = {
  'bit': (vj.Bernoulli, lambda logit: logit, lambda z: z),
  'labels': (
    vj.Categorical,
    lambda logit: jnp.stack([0.2, 0.2 + logit]),
    lambda z: z[1],
  ),
}


def cost(theta, z):
  return theta * (z - 0.3) ** 3 + z


def slope_of_cost(z):
  return 3 * THETA * (z - 0.3) ** 2 + 1


def true_slope(name):
  """Returns the expected gradient of an estimator, in float64."""
  p = 1 / (1 + np.exp(-LOGIT))
  if name == 'mean':
    ends = slope_of_cost(np.array([0.0, 1.0]))
    return (ends @ [1 - p, p]) * p * (1 - p)
  eps = np.arange(-36, 36, 1e-3)
  mass = 1e-3 / (2 + 2 * np.cosh(eps))
  soft = 1 / (1 + np.exp(-(LOGIT + eps) / 0.4))
  hard = (LOGIT + eps > 0).astype(float)
  at = soft if name == 'gumbel_softmax' else hard
  return mass @ (slope_of_cost(at) * soft * (1 - soft) / 0.4)


def draws_of(key, family, estimator, num_samples=1):
  make, logits_of, number = FAMILIES[family]

  def value(logit, theta, key):
    f = lambda z: cost(theta, number(z))
    q = make(logits_of(logit))
    return estimator(key, q, f, num_samples=num_samples)

  both = jax.value_and_grad(value, (0, 1))
  keys = jax.random.split(key, DRAWS // num_samples)
  return jax.jit(jax.vmap(both, (None, None, 0)))(LOGIT, THETA, keys)


@pytest.mark.parametrize(
  ('family', 'name'),
  [
    *(('bit', name) for name in ESTIMATORS),
    ('labels', 'gumbel_softmax'),
    pytest.param('labels', 'straight_through', marks=pytest.mark.slow),
    pytest.param('labels', 'mean', marks=pytest.mark.slow),
  ],
)
def test_only_the_gradient_in_q_is_biased(family, name, key):
  """Three comparisons at 6 standard errors: false alarms below 6e-9."""
  value, (in_q, in_theta) = draws_of(key, family, ESTIMATORS[name])
  q = vj.Bernoulli(LOGIT)
  exact = lambda theta: vj.enumeration(q, functools.partial(cost, theta))
  true_value, true_theta = jax.value_and_grad(exact)(THETA)
  assert_mean(value, true_value)
  assert_mean(in_theta, true_theta)
  assert_mean(in_q, true_slope(name))
  p = 1 / (1 + np.exp(-LOGIT))
  unbiased = p * (1 - p) * float(cost(THETA, 1.0) - cost(THETA, 0.0))
  assert abs(true_slope(name) - unbiased) > 0.01


def test_draws_of_three_labels_have_their_probabilities(key):
  """Of two, the difference of the noises would hide a wrong sign."""
  logits, weights = jnp.array([0.0, 1.5, -1.0]), jnp.array([1.0, 3.0, -2.0])
  draw = lambda key: vj.straight_through(
    key, vj.Categorical(logits), lambda z: jnp.sum(weights * z)
  )
  values = jax.jit(jax.vmap(draw))(jax.random.split(key, DRAWS))
  assert_mean(values, jnp.sum(jax.nn.softmax(logits) * weights))


@pytest.mark.slow
def test_estimate_is_the_mean_over_draws(key):
  estimator = ESTIMATORS['gumbel_softmax']
  _, (in_q, _) = draws_of(key, 'bit', estimator, num_samples=4)
  assert_mean(in_q, true_slope('gumbel_softmax'))


@pytest.mark.parametrize('name', ESTIMATORS)
def test_value_is_f_at_a_discrete_draw(name, key):
  def value(key):
    labels = vj.Categorical(jnp.array([[0.1, 0.5, -0.3], [1.0, 0.0, 0.2]]))
    f = lambda z: jnp.sum(z * jnp.arange(6.0).reshape(2, 3))
    return ESTIMATORS[name](key, labels, f)

  found = jax.jit(jax.vmap(value))(jax.random.split(key, 500))
  np.testing.assert_allclose(np.unique(found), np.arange(3.0, 8), rtol=1e-5)


@pytest.mark.parametrize('family', FAMILIES)
def test_a_low_temperature_stays_finite(family, key):
  make, logits_of, number = FAMILIES[family]

  def slope(key, temperature):
    value = lambda logit: vj.gumbel_softmax(
      key,
      make(logits_of(logit)),
      lambda z: number(z) ** 2,
      temperature=temperature,
    )
    return jax.grad(value)(LOGIT)

  keys = jax.random.split(key, 4000)
  found = jax.jit(jax.vmap(slope, (0, None)))(keys, 2e-38)
  # A draw is within its width of the threshold with probability 1e-37.
  np.testing.assert_array_equal(found, 0)


@pytest.mark.parametrize('name', ['gumbel_softmax', 'straight_through'])
def test_second_derivatives_in_q_are_refused(name, key):
  value = lambda x: ESTIMATORS[name](key, vj.Bernoulli(x), jnp.square)
  with (
    jax.debug_key_reuse(False),
    pytest.raises(TypeError, match=f'vj.{name} has no second deriv.*enumera'),
  ):
    jax.eval_shape(jax.hessian(value), LOGIT)


@pytest.mark.parametrize('estimator', [vj.gumbel_softmax, vj.straight_through])
def test_invalid_input_is_refused(estimator, key):
  q, wanted = vj.Bernoulli(jnp.zeros(2)), 'temperature is {}: must be above 0'
  for bad in (0.0, -1.0):
    with pytest.raises(ValueError, match=wanted.format(bad)):
      estimator(key, q, jnp.sum, temperature=bad)
  with pytest.raises(ValueError, match='num_samples is 0'):
    estimator(key, q, jnp.sum, num_samples=0)
  with pytest.raises(ValueError, match=r'f returns shape \(2,\)'):
    estimator(key, q, jnp.square)
  with pytest.raises(TypeError, match='Normal has no relaxation, which vj'):
    estimator(key, vj.Normal(0.0, 0.0), jnp.square)


def test_a_traced_temperature_that_is_not_positive_gives_nan(key):
  def slope(temperature):
    value = lambda x: vj.gumbel_softmax(
      key, vj.Bernoulli(x), jnp.square, temperature=temperature
    )
    return jax.grad(value)(LOGIT)

  with jax.debug_key_reuse(False):
    found = jax.jit(jax.vmap(slope))(jnp.array([0.0, 0.5]))
  np.testing.assert_array_equal(np.isnan(found), [True, False])
