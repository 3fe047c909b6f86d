import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.helpers import assert_mean

DRAWS = 40_000


def draws_of(key, objective, params):
  sample = lambda key: vj.sample_gradients(
    key, objective, params, num_samples=DRAWS
  )
  return jax.jit(sample)(key)


# At theta = 0 neither sign nor scale of the gradient matters.
@pytest.mark.quick('2.0-False', '2.0-True')
@pytest.mark.parametrize('coupled', [True, False])
@pytest.mark.parametrize('theta', [0.0, 2.0])
def test_variance_on_a_quadratic_matches_closed_form(coupled, theta, key):
  objective = lambda key, theta: vj.measure_valued(
    key, vj.Normal(theta, 0.0), jnp.square, coupled=coupled
  )
  grads = np.asarray(draws_of(key, objective, theta), np.float64)
  if coupled:
    exact = (16 / np.pi - 4) * theta**2
  else:
    exact = 4 / np.pi + (8 / np.pi - 2) * theta**2
  assert_mean(grads, 2 * theta)
  assert_mean((grads - 2 * theta) ** 2, exact)


@pytest.mark.slow
def test_gradient_is_unbiased_for_f_that_mixes_dimensions(key):
  """E[z_0 z_1^2 + exp(z_2)] with a scalar scale and a vector location."""
  loc = jnp.array([0.5, -1.0, 0.3])
  params = {'loc': loc, 'log_scale': jnp.array(-0.5)}
  f = lambda z: z[0] * z[1] ** 2 + jnp.exp(z[2])

  def expectation(params):
    loc, variance = params['loc'], jnp.exp(2 * params['log_scale'])
    cubic = loc[0] * (loc[1] ** 2 + variance)
    return cubic + jnp.exp(loc[2] + 0.5 * variance)

  def objective(key, params):
    return vj.measure_valued(key, vj.Normal(**params), f, num_samples=2)

  grads = draws_of(key, objective, params)
  exact = jax.jit(jax.grad(expectation))(params)
  for name in params:
    assert_mean(grads[name], exact[name])


def test_bernoulli_gradient_has_no_variance_in_one_dimension(key):
  """The gradient is p (1 - p) (f(1) - f(0)) for every draw."""
  objective = lambda logit: vj.measure_valued(
    key, vj.Bernoulli(logit), lambda z: jnp.exp(2 * z)
  )
  p = 1 / (1 + np.exp(-0.4))
  exact = p * (1 - p) * (np.exp(2) - 1)
  found = jax.jit(jax.grad(objective))(0.4)
  np.testing.assert_allclose(found, exact, rtol=1e-5)


def test_bernoulli_gradient_is_unbiased(key):
  logits = jnp.array([0.3, -0.8, 1.0])
  f = lambda z: z[0] * z[1] + 2 * z[1] * z[2] - z[2]

  def expectation(logits):
    p = jax.nn.sigmoid(logits)
    return sum(
      jnp.prod(jnp.where(jnp.array(z) == 1, p, 1 - p))
      * f(jnp.array(z, jnp.float32))
      for z in itertools.product((0, 1), repeat=3)
    )

  objective = lambda key, logits: vj.measure_valued(
    key, vj.Bernoulli(logits), f
  )
  exact = jax.jit(jax.grad(expectation))(logits)
  assert_mean(draws_of(key, objective, logits), exact)


def test_value_and_gradient_of_f_are_unbiased(key):
  def objective(scale, key):
    q = vj.Normal(0.5, 0.0)
    return vj.measure_valued(key, q, lambda z: scale * z**2, num_samples=2)

  both = jax.jit(jax.vmap(jax.value_and_grad(objective), (None, 0)))
  values, grads = both(3.0, jax.random.split(key, DRAWS))
  assert_mean(values, 3.75)
  assert_mean(grads, 1.25)


def test_a_family_without_a_decomposition_is_refused(key):
  with pytest.raises(TypeError, match='Cauchy has no measure-valued'):
    vj.measure_valued(key, vj.Cauchy(0.0, 0.0), jnp.cos)


@pytest.mark.parametrize(
  'q',
  [lambda a: vj.Gamma(a, 0.0), lambda a: vj.Weibull(a, 0.0)],
  ids=['gamma', 'weibull'],
)
def test_a_parameter_without_a_decomposition_is_refused(q, key):
  objective = lambda a: vj.measure_valued(
    jax.random.clone(key), q(a), jnp.square
  )
  jax.eval_shape(objective, 2.0)
  with pytest.raises(TypeError, match='concentration'):
    jax.eval_shape(jax.grad(objective), 2.0)


def test_zero_samples_are_refused(key):
  with pytest.raises(ValueError, match='num_samples is 0'):
    vj.measure_valued(key, vj.Normal(0.0, 0.0), jnp.square, num_samples=0)


def test_differences_of_an_unsigned_cost_do_not_wrap_around(key):
  value = lambda logits: vj.measure_valued(
    key, vj.Bernoulli(logits), lambda z: (3 * (1 - z)).astype(jnp.uint8)
  )
  slope = jax.jit(jax.grad(value))(0.0)
  np.testing.assert_allclose(slope, -0.75, rtol=1e-6)
