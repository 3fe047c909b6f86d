import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.estimators import all_values

LOGITS = jnp.array([0.3, -1.2])
MATRIX = np.array([[1.0, 0.5], [-0.3, 0.7]])
TABLE = np.array([[0.3, -1.0, 2.0], [1.5, 0.2, -0.7]])


def of_bits(theta, z):
  return theta * z @ MATRIX.astype(np.float32) @ z


def of_labels(theta, z):
  table = jnp.asarray(TABLE)
  return theta * table[0, z[0]] * table[1, z[1]]


# q, f, p(z) of each dimension in numpy, values of each dimension
CASES = {
  'bits': (vj.Bernoulli, LOGITS, of_bits, 2),
  'labels': (
    vj.Categorical,
    jnp.array([[0.1, -0.4, 0.6], [0.0, 0.8, -0.3]]),
    of_labels,
    3,
  ),
}


def by_hand(logits, theta, f, labels):
  """Returns E_q[f] from a loop over every value."""
  if labels == 2:
    logits = jnp.stack([jnp.zeros_like(logits), logits], axis=-1)
  p = jax.nn.softmax(logits, axis=-1)
  total = 0.0
  for each in itertools.product(range(labels), repeat=len(logits)):
    z = jnp.array(each, float if labels == 2 else int)
    mass = jnp.prod(jnp.stack([p[i, k] for i, k in enumerate(each)]))
    total += mass * f(theta, z)
  return total


@pytest.mark.parametrize('name', CASES)
def test_value_and_derivatives_equal_a_loop_over_every_value(name):
  family, logits, f, labels = CASES[name]

  def found(logits, theta):
    return vj.enumeration(family(logits), lambda z: f(theta, z))

  def exact(logits, theta):
    return by_hand(logits, theta, f, labels)

  def everything(function):
    first = jax.value_and_grad(function, (0, 1))
    return first(logits, 1.7), jax.hessian(function, (0, 1))(logits, 1.7)

  results = jax.jit(lambda: (everything(found), everything(exact)))()
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
  jax.tree.map(close, *results)
  assert np.all(np.abs(results[1][0][1][0]) > 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
  ('q', 'count'),
  [
    (vj.Bernoulli(jnp.zeros((2, 2))), 16),
    (vj.Bernoulli(0.0), 2),
    (vj.Bernoulli(jnp.zeros(12)), 4096),
    (vj.Categorical(jnp.zeros(7)), 7),
    (vj.Categorical(jnp.zeros((2, 64))), 4096),
    (vj.Categorical(jnp.zeros((70, 1))), 1),
  ],
)
def test_every_value_is_there_once(q, count):
  z = all_values(q)
  assert z.shape == (count, *q.shape)
  assert z.dtype == jax.eval_shape(q.sample, jax.random.key(0)).dtype
  assert len(np.unique(np.asarray(z).reshape(count, -1), axis=0)) == count
  mass = jnp.sum(jnp.exp(jax.vmap(q.log_prob)(z)))
  np.testing.assert_allclose(mass, 1, rtol=1e-5)


def test_impossible_values_do_not_count():
  """A sure bit: f is nan or infinite only where q is 0."""
  f = lambda z: jnp.where(z[0] == 1, z[1], jnp.inf)
  value = lambda logit: vj.enumeration(
    vj.Bernoulli(jnp.stack([jnp.inf, logit])), f
  )
  found, slope = jax.jit(jax.value_and_grad(value))(0.4)
  p = jax.nn.sigmoid(0.4)
  np.testing.assert_allclose(found, p, rtol=1e-6)
  np.testing.assert_allclose(slope, p * (1 - p), rtol=1e-5)


def test_an_infinite_expectation_has_a_finite_gradient():
  f = lambda z: jnp.where(z[0] == 1, -jnp.inf, z[1])
  value = lambda logits: vj.enumeration(vj.Bernoulli(logits), f)
  found, slope = jax.jit(jax.value_and_grad(value))(jnp.array([0.3, 0.1]))
  assert found == -np.inf
  assert np.all(np.isfinite(slope))


@pytest.mark.parametrize(
  ('q', 'message'),
  [
    (vj.Bernoulli(jnp.zeros(13)), r'Bernoulli has 2\^13 values.*at most 4096'),
    (vj.Bernoulli(jnp.zeros(10**6)), r'2\^1000000 values'),
    (vj.Categorical(jnp.zeros((2, 65))), r'Categorical has 65\^2 values'),
  ],
)
def test_too_many_values_are_refused(q, message):
  with pytest.raises(ValueError, match=message):
    vj.enumeration(q, jnp.sum)


def test_a_continuous_distribution_is_refused():
  with pytest.raises(TypeError, match=r'Normal cannot be enumerated.*pathwise'):
    vj.enumeration(vj.Normal(0.0, 0.0), jnp.square)


def test_f_must_return_a_scalar():
  with pytest.raises(ValueError, match=r'f returns shape \(2,\)'):
    vj.enumeration(vj.Bernoulli(LOGITS), jnp.square)
