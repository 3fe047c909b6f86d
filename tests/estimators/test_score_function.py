import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.helpers import assert_mean

nd = pytest.importorskip('numpyro.distributions')

DRAWS = 40_000


def draws_of(key, objective, params):
  sample = lambda key: vj.sample_gradients(
    key, objective, params, num_samples=DRAWS
  )
  return jax.jit(sample)(key)


def square(theta, **options):
  return lambda key, theta_: vj.score_function(
    key, vj.Normal(theta_, 0.0), jnp.square, **options
  )


# From the moments of a normal: x^2 (x - theta) is a polynomial in eps.
VARIANCES = {
  'none': ({}, lambda t: t**4 + 14 * t**2 + 15),
  'mean': ({'baseline': 5.0}, lambda t: 8 * t**2 + 10),
  'best': ({'baseline': 7.0}, lambda t: 8 * t**2 + 6),
  'pair': (
    {'baseline': 'leave_one_out', 'num_samples': 2},
    lambda t: 8 * t**2 + 6,
  ),
}


@pytest.mark.parametrize('name', VARIANCES)
def test_variance_on_a_quadratic_matches_closed_form(name, key):
  options, variance = VARIANCES[name]
  theta = 2.0
  grads = draws_of(key, square(theta, **options), theta)
  assert_mean(grads, 2 * theta)
  assert_mean((np.asarray(grads, np.float64) - 2 * theta) ** 2, variance(theta))


def test_delta_baseline_is_exact_on_a_quadratic(key):
  grads = draws_of(key, square(2.0, baseline='delta'), 2.0)
  np.testing.assert_allclose(grads, 4.0, rtol=1e-4)


@pytest.mark.parametrize(
  'options',
  [{}, {'baseline': 'delta'}, {'baseline': 'leave_one_out', 'num_samples': 2}],
)
def test_second_derivative_is_unbiased(options, key):
  """d2 E[z^2] / dloc2 = 2."""
  hessian = jax.hessian(lambda x, key: square(x, **options)(key, x))
  keys = jax.random.split(key, DRAWS)
  assert_mean(jax.jit(jax.vmap(hessian, (None, 0)))(0.3, keys), 2.0)


def test_gradient_of_one_sample_is_unbiased(key):
  """A moving-average baseline that includes the sample would give 0."""
  grads = draws_of(key, square(1.0), 1.0)
  assert_mean(grads, 2.0)


def test_value_is_the_sample_mean_for_every_baseline(key):
  q = vj.Normal(jnp.array([1.0, -1.0]), 0.3)
  f = lambda z: jnp.sum(jnp.exp(z))
  values = {
    repr(b): vj.score_function(
      jax.random.clone(key), q, f, num_samples=4, baseline=b
    )
    for b in (None, 3.0, 'leave_one_out', 'delta')
  }
  draws = vj.sample_many(jax.random.clone(key), q, 4)
  exact = np.mean(np.sum(np.exp(draws), axis=1))
  for value in values.values():
    np.testing.assert_allclose(value, exact, rtol=1e-6)


@pytest.mark.quick('0.5')
@pytest.mark.parametrize('baseline', [None, 0.5, 'leave_one_out'])
def test_categorical_gradients_are_unbiased(baseline, key):
  table = jnp.array([[0.3, -1.0, 2.0], [1.5, 0.2, -0.7]])
  logits = jnp.array([[0.1, -0.4, 0.6], [0.0, 0.8, -0.3]])

  def f(z):
    picked = table[jnp.arange(2), z]
    return picked[0] * picked[1] + picked[0]

  def objective(key, logits):
    q = vj.Categorical(logits)
    return vj.score_function(key, q, f, num_samples=2, baseline=baseline)

  def expectation(logits):
    p = jax.nn.softmax(logits, axis=-1)
    return sum(
      p[0, i] * p[1, j] * f(jnp.array([i, j]))
      for i, j in itertools.product(range(3), repeat=2)
    )

  exact = jax.jit(jax.grad(expectation))(logits)
  assert_mean(draws_of(key, objective, logits), exact)


MATRIX = jnp.array([[1.0, 0.5, 0.0], [-0.3, 0.7, 0.2], [0.1, 0.0, -0.4]])
SLOPES = jnp.array([0.3, -1.0, 0.5])


def quadratic(z):
  return z @ MATRIX @ z + SLOPES @ z


FULL_COVARIANCE = {
  'pathwise': vj.pathwise,
  'antithetic': functools.partial(vj.pathwise, antithetic=True, num_samples=2),
  'score': vj.score_function,
  'leave one out': functools.partial(
    vj.score_function, baseline='leave_one_out', num_samples=3
  ),
  'delta': functools.partial(vj.score_function, baseline='delta'),
}


@pytest.mark.slow
@pytest.mark.parametrize('triangular', [True, False])
def test_full_covariance_gradients_are_unbiased(triangular, key):
  """E[z'Az + b'z] = mu'A mu + tr(A C C') + b'mu."""
  scale = jnp.array([[1.0, 0.0, 0.0], [0.4, 0.8, 0.0], [-0.3, 0.2, 0.6]])
  if not triangular:
    scale = scale.at[0, 2].set(0.7)
  loc = jnp.array([0.5, -0.2, 1.0])

  def objective(key, params):
    """Sums every estimator, each with parameters and a key of its own."""
    keys = jax.random.split(key, len(params))
    return sum(
      FULL_COVARIANCE[name](
        each, vj.MultivariateNormal(*params[name], triangular), quadratic
      )
      for name, each in zip(params, keys, strict=True)
    )

  grads = draws_of(key, objective, dict.fromkeys(FULL_COVARIANCE, (loc, scale)))
  symmetric = MATRIX + MATRIX.T
  exact = symmetric @ scale
  for d_loc, d_scale in grads.values():
    assert_mean(d_loc, symmetric @ loc + SLOPES)
    assert_mean(d_scale, jnp.tril(exact) if triangular else exact)


def test_gradients_of_q_and_f_are_unbiased_together(key):
  params = {'model': {'scale': 3.0}, 'encoder': [jnp.array(0.5)]}

  def objective(key, params):
    q = vj.Normal(params['encoder'][0], 0.0)
    f = lambda z: params['model']['scale'] * z**2
    return vj.score_function(key, q, f)

  grads = draws_of(key, objective, params)
  assert_mean(grads['model']['scale'], 1.25)
  assert_mean(grads['encoder'][0], 3.0)


def test_gradient_of_a_step_function_is_unbiased(key):
  """d/dmu P(z > 0) is the density at 0; pathwise would silently give 0."""
  objective = lambda key, loc: vj.score_function(
    key, vj.Normal(loc, 0.0), lambda z: jnp.where(z > 0, 1.0, 0.0)
  )
  density = np.exp(-0.5 * 0.3**2) / np.sqrt(2 * np.pi)
  assert_mean(draws_of(key, objective, 0.3), density)


@pytest.mark.parametrize(
  ('q', 'name'),
  [
    (lambda p: vj.Pareto(2.0, p), 'log_scale'),
    (lambda p: vj.Uniform(p, 2.0), 'low'),
    (lambda p: vj.Uniform(-1.0, p), 'high'),
  ],
)
def test_parameters_of_a_moving_support_are_refused(q, name, key):
  def objective(p):
    return vj.score_function(jax.random.clone(key), q(p), jnp.square)

  jax.eval_shape(objective, 0.3)
  for differentiate in (jax.grad, jax.jacfwd, lambda f: jax.jit(jax.grad(f))):
    with pytest.raises(TypeError, match=f'{name}: it moves the support'):
      jax.eval_shape(differentiate(objective), 0.3)


def test_other_parameters_of_a_moving_support_have_gradients(key):
  objective = lambda key, a: vj.score_function(
    key, vj.Pareto(a, 0.0), lambda z: 1 / z
  )
  # E[1/z] = a / (a + 1).
  assert_mean(draws_of(key, objective, 2.0), 1 / 9)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'num_samples': 0}, 'num_samples is 0'),
    ({'num_samples': 3, 'antithetic': True}, 'num_samples is 3: antithetic'),
    ({'baseline': 'leave_one_out'}, 'num_samples is 1.*at least 2'),
    ({'baseline': 'moving'}, "baseline is 'moving'"),
    (
      {'baseline': 'leave_one_out', 'num_samples': 2, 'antithetic': True},
      'antithetic=True',
    ),
  ],
)
def test_invalid_options_are_refused(options, message, key):
  with pytest.raises(ValueError, match=message):
    vj.score_function(key, vj.Normal(0.0, 0.0), jnp.square, **options)


def test_f_must_return_a_scalar(key):
  with pytest.raises(ValueError, match=r'f returns shape \(2,\)'):
    vj.score_function(key, vj.Normal(jnp.zeros(2), 0.0), jnp.square)


def test_delta_baseline_without_moments_is_refused(key):
  q = vj.Categorical(jnp.zeros(3))
  with pytest.raises(TypeError, match='no mean'):
    vj.score_function(key, q, jnp.square, baseline='delta')


HEAVY = {
  'Cauchy': lambda x: vj.Cauchy(x, 0.0),
  'StudentT 1.5': lambda x: vj.StudentT(1.5, x, 0.0),
  'StudentT 4': lambda x: vj.StudentT(4.0, x, 0.0),
  'one of two': lambda x: vj.StudentT(jnp.array([9.0, 3.0]), x, 0.0),
  'Pareto 1.5': lambda x: vj.Pareto(1.5 + 0 * x, 0.0),
  'Pareto 2.2': lambda x: vj.Pareto(2.2 + 0 * x, 0.0),
  'numpyro Cauchy': lambda x: vj.from_numpyro(nd.Cauchy(x, 1.0)),
  'numpyro HalfCauchy': lambda x: vj.from_numpyro(nd.HalfCauchy(1 + x)),
  'numpyro StudentT': lambda x: vj.from_numpyro(nd.StudentT(3.0, x, 1.0)),
  'numpyro to_event': lambda x: vj.from_numpyro(
    nd.StudentT(3.0, x + jnp.zeros(2), 1.0).to_event(1)
  ),
  'numpyro InverseGamma': lambda x: vj.from_numpyro(nd.InverseGamma(2.2, 1.0)),
  'numpyro mixture': lambda x: vj.from_numpyro(
    nd.MixtureSameFamily(
      nd.Categorical(logits=jnp.zeros(2)),
      nd.StudentT(jnp.array([3.0, 9.0]), x, 1.0),
    )
  ),
}


@pytest.mark.quick('Pareto 2.2', 'numpyro Cauchy')
@pytest.mark.parametrize('name', HEAVY)
def test_delta_baseline_without_a_fourth_moment_is_refused(name):
  def value(x):
    f = lambda z: jnp.sum(jnp.cos(z))
    return vj.score_function(
      jax.random.key(0), HEAVY[name](x), f, baseline='delta'
    )

  for call in (value, jax.grad(value)):
    with pytest.raises(TypeError, match=r'E\[z\^4\] of .* does not exist'):
      call(0.3)


@pytest.mark.slow
def test_delta_baseline_with_traced_degrees_of_freedom_is_nan_or_finite():
  @jax.jit
  @jax.vmap
  def value_and_slope(df):
    return jax.value_and_grad(
      lambda df: vj.score_function(
        jax.random.key(0), vj.StudentT(df, 0.2, 0.0), jnp.cos, baseline='delta'
      )
    )(df)

  found = np.array(value_and_slope(jnp.array([1.5, 4.0, 4.5])))
  np.testing.assert_array_equal(np.isnan(found), [[True, True, False]] * 2)


@vj.distribution
class Rotated(vj.Distribution):
  """A user's correlated family; `exact` has its covariance."""

  scale: jax.Array
  knows: bool = dataclasses.field(default=False, metadata={'static': True})

  shape = (2,)

  @property
  def exact(self):
    return vj.MultivariateNormal(jnp.array([0.5, -1.0]), self.scale)

  def sample(self, key):
    return vj.sample(key, self.exact)

  def log_prob(self, z):
    return self.exact.log_prob(z)

  def mean(self):
    return self.exact.mean()

  def variance(self):
    return self.exact.variance()

  def covariance(self):
    return self.exact.covariance() if self.knows else super().covariance()


@pytest.mark.slow
def test_delta_baseline_needs_the_covariance_of_a_correlated_q(key):
  """d/dC E[z_0 z_1] is of the covariance alone; the expansion is exact."""
  scale = jnp.array([[1.0, 0.0], [0.6, 0.8]])
  product = lambda z: z[0] * z[1]

  def value(scale, make):
    return vj.score_function(key, make(scale), product, baseline='delta')

  slope = lambda make: jax.grad(value)(scale, make)
  exact = jax.grad(lambda c: (c @ c.T)[0, 1])(scale)
  loc = jnp.array([0.5, -1.0])
  with jax.debug_key_reuse(False):
    makes = [
      lambda c: vj.MultivariateNormal(loc, c),
      lambda c: vj.from_numpyro(nd.MultivariateNormal(loc, scale_tril=c)),
      lambda c: Rotated(c, knows=True),
    ]
    for found in jax.jit(lambda: [slope(make) for make in makes])():
      np.testing.assert_allclose(jnp.tril(found), jnp.tril(exact), atol=1e-5)
    for make in (
      Rotated,
      lambda c: vj.from_numpyro(nd.Dirichlet(1 + c[1])),
    ):
      with pytest.raises(TypeError, match='has no closed-form covariance'):
        slope(make)


@pytest.mark.slow
def test_numeric_baseline_of_an_integer_cost_is_not_rounded(key):
  count = lambda z: jnp.sum(z).astype(jnp.int32)

  def slope(f, **options):
    value = lambda logits: vj.score_function(
      key, vj.Bernoulli(logits), f, num_samples=4, **options
    )
    return jax.jit(jax.grad(value))(jnp.array([0.3, -0.5]))

  with jax.debug_key_reuse(False):
    for baseline in (0.6, 'leave_one_out'):
      found = slope(count, baseline=baseline)
      exact = slope(jnp.sum, baseline=baseline)
      np.testing.assert_allclose(found, exact, rtol=1e-6)
    assert not np.allclose(slope(count, baseline=0.6), slope(count))
