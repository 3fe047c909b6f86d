import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.helpers import assert_mean
from vae_jax.estimators import antithetic_bits

DRAWS = 40_000
LOGITS = jnp.array([0.3, -1.2, 0.8])
MATRIX = jnp.array([[1.0, 0.5, 0.0], [-0.3, 0.7, 0.2], [0.1, 0.0, -0.4]])


def quadratic(theta, z):
  """A cost with interactions between the bits, and a large constant."""
  return theta * (2 + z @ MATRIX @ z)


def draws_of(key, estimator, num_draws=DRAWS):
  """Returns values, and gradients in the logits and theta, of an estimator."""

  def value(logits, theta, key):
    f = functools.partial(quadratic, theta)
    return estimator(key, vj.Bernoulli(logits), f)

  both = jax.value_and_grad(value, (0, 1))
  keys = jax.random.split(key, num_draws)
  return jax.jit(jax.vmap(both, (None, None, 0)))(LOGITS, 1.5, keys)


def exact():
  def value(logits, theta):
    f = functools.partial(quadratic, theta)
    return vj.enumeration(vj.Bernoulli(logits), f)

  return jax.jit(jax.value_and_grad(value, (0, 1)))(LOGITS, 1.5)


def disarm(num_samples):
  return functools.partial(vj.disarm, num_samples=num_samples)


@pytest.mark.parametrize(
  'num_samples', [2, pytest.param(4, marks=pytest.mark.slow)]
)
def test_value_and_gradients_are_unbiased(num_samples, key):
  """Seven comparisons at 6 standard errors: false alarms below 2e-8."""
  value, (in_logits, in_theta) = draws_of(key, disarm(num_samples))
  true_value, (true_logits, true_theta) = exact()
  assert_mean(value, true_value)
  assert_mean(in_logits, true_logits)
  assert_mean(in_theta, true_theta)


@pytest.mark.slow
def test_variance_is_below_score_function_and_leave_one_out(key):
  """At two evaluations of f each, on the quadratic of three bits.

  The variances are 0.62, 0.74 and 5.6, each with a standard error of about 1 %
  from 40,000 draws.
  """
  score = functools.partial(vj.score_function, num_samples=2)
  estimators = {
    'disarm': disarm(2),
    'leave one out': functools.partial(score, baseline='leave_one_out'),
    'plain': score,
  }
  keys = jax.random.split(key, 3)
  variance = {}
  for each, (name, estimator) in zip(keys, estimators.items(), strict=True):
    _, (gradient, _) = draws_of(each, estimator)
    assert_mean(gradient, exact()[1][0])
    variance[name] = np.sum(np.var(gradient, axis=0))
  assert variance['disarm'] < 0.92 * variance['leave one out']
  assert variance['leave one out'] < 0.5 * variance['plain']


@pytest.mark.parametrize('logit', [1.3, -0.6])
def test_variance_of_one_bit_is_its_closed_form(logit, key):
  """The bits differ with probability 2 s(-|l|), the gradient is then d s(|l|).

  d = (f(1) - f(0)) / 2.
  """
  keys = jax.random.split(key, DRAWS)
  slope = jax.grad(
    lambda x, key: vj.disarm(key, vj.Bernoulli(x), lambda z: 3 * z + 1)
  )
  found = jax.jit(jax.vmap(slope, (None, 0)))(logit, keys)
  near, far = 1 / (1 + np.exp(-np.abs([logit, -logit]) * [1, -1]))
  second_moment = (1.5 * near) ** 2 * 2 * far
  assert_mean(found, 3 * near * far)
  assert_mean(np.square(found, dtype=np.float64), second_moment)


def test_pairs_are_antithetic_draws_of_q(key):
  logits = jnp.array([0.0, 2.0, -jnp.inf])
  z = antithetic_bits(key, vj.Bernoulli(logits), DRAWS)
  first, second = np.split(np.asarray(z), 2)
  assert_mean(first, jax.nn.sigmoid(logits))
  assert_mean(second, jax.nn.sigmoid(logits))
  # A fair bit and its partner always differ.
  np.testing.assert_array_equal(first[:, 0] + second[:, 0], 1)
  assert_mean(first[:, 1] != second[:, 1], 2 * jax.nn.sigmoid(-2.0))


def test_mixed_derivatives_are_unbiased(key):
  mixed = jax.jacfwd(
    jax.grad(
      lambda x, t, key: vj.disarm(key, vj.Bernoulli(x), lambda z: t * z**2)
    ),
    1,
  )
  keys = jax.random.split(key, DRAWS)
  found = jax.jit(jax.vmap(mixed, (None, None, 0)))(0.7, 2.0, keys)
  p = jax.nn.sigmoid(0.7)
  assert_mean(found, p * (1 - p))


def test_second_derivatives_in_the_logits_are_refused(key):
  value = lambda x: vj.disarm(key, vj.Bernoulli(x), jnp.sum)
  with (
    jax.debug_key_reuse(False),
    pytest.raises(TypeError, match=r'vj\.disarm has no second deriv.*enumer'),
  ):
    jax.eval_shape(jax.hessian(value), LOGITS)


def test_an_infinite_value_has_no_gradient(key):
  f = lambda z: jnp.where(z[0] == 1, -jnp.inf, z[1])
  value = lambda x: vj.disarm(key, vj.Bernoulli(x), f, num_samples=8)
  found, slope = jax.jit(jax.value_and_grad(value))(LOGITS)
  assert found == -np.inf
  assert np.all(np.isfinite(slope))


@pytest.mark.parametrize(
  ('q', 'num_samples', 'error', 'message'),
  [
    (vj.Bernoulli(LOGITS), 3, ValueError, 'num_samples is 3: antithetic'),
    (vj.Bernoulli(LOGITS), 0, ValueError, 'num_samples is 0'),
    (
      vj.Categorical(jnp.zeros(3)),
      2,
      TypeError,
      'Categorical has no DisARM gradient, which needs a Bernoulli',
    ),
  ],
)
def test_invalid_input_is_refused(q, num_samples, error, message, key):
  with pytest.raises(error, match=message):
    vj.disarm(key, q, jnp.sum, num_samples=num_samples)


def test_f_must_return_a_scalar(key):
  with pytest.raises(ValueError, match=r'f returns shape \(3,\)'):
    vj.disarm(key, vj.Bernoulli(LOGITS), jnp.square)
