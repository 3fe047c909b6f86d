"""Parameters without a gradient raise if and only if differentiated."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax.distributions as vd

A, LOG_SCALE = jnp.array([2.5, 4.0]), jnp.array([0.1, -0.3])
Z = jnp.array([2.0, 3.0])


def raises(name, gradient, parameter):
  message = f'{name} has no {gradient} in {parameter}: '
  return pytest.raises(TypeError, match=re.escape(message))


@pytest.mark.parametrize(
  'q',
  [
    vd.Bernoulli(jnp.zeros(2)),
    vd.Categorical(jnp.zeros((2, 3))),
    vd.CategoricalPixels(jnp.zeros((2, 256))),
    vd.DiscretisedLogistic(jnp.zeros(2), 0.0),
  ],
)
def test_discrete_families_are_not_reparameterised(q, key):
  name = type(q).__name__
  for draw in [
    lambda: vd.reparameterise(key, q),
    lambda: vd.reparameterise_many(key, q, 2),
    lambda: q.noise(key),
    lambda: q.transform(jnp.zeros(2)),
  ]:
    with pytest.raises(TypeError, match=f'{name} is discrete.*score_function'):
      draw()


@pytest.mark.parametrize('q', [vd.Gamma(A, LOG_SCALE), vd.Beta(A, 2.0)])
def test_implicit_families_have_no_noise(q, key):
  name = type(q).__name__
  for call in [
    lambda: q.noise(key),
    lambda: q.transform(jnp.ones(2)),
    lambda: q.inverse(jnp.ones(2)),
    lambda: q.noise_log_prob(jnp.ones(2)),
  ]:
    with pytest.raises(TypeError, match=f'{name} has no z = g.*implicitly'):
      call()


def score(a, log_scale):
  return vd.Pareto(a, log_scale).for_score().log_prob(Z)


def wrap_scan(f):
  """Calls f inside the body of a `scan`."""

  def looped(*parameters):
    body = lambda total, _: (total + f(*parameters), None)
    return jax.lax.scan(body, 0.0, jnp.arange(2))[0] / 2

  return looped


WRAPPERS = {
  'plain': lambda f: f,
  'jit': jax.jit,
  'scan': wrap_scan,
}

wrapped = pytest.mark.parametrize('wrap', WRAPPERS.values(), ids=WRAPPERS)


@wrapped
def test_score_of_an_end_of_the_support_raises(wrap):
  with raises('Pareto', 'score-function gradient', 'log_scale'):
    jax.grad(wrap(score), 1)(A, LOG_SCALE)
  with raises('Pareto', 'score-function gradient', 'log_scale'):
    jax.grad(wrap(score), (0, 1))(A, LOG_SCALE)


@wrapped
def test_score_of_the_other_parameters_is_exact(wrap):
  exact = 1 / A - (jnp.log(Z) - LOG_SCALE)
  slope = jax.grad(wrap(score))(A, LOG_SCALE)
  np.testing.assert_allclose(slope, exact, rtol=1e-5)


@wrapped
def test_stopped_end_of_the_support_does_not_raise(wrap):
  stopped = lambda a, s: score(a, jax.lax.stop_gradient(s))
  slopes = jax.grad(wrap(stopped), (0, 1))(A, LOG_SCALE)
  np.testing.assert_allclose(
    slopes[0], 1 / A - (jnp.log(Z) - LOG_SCALE), rtol=1e-5
  )
  np.testing.assert_array_equal(slopes[1], 0.0)


def test_score_under_vmap_is_exact_or_raises():
  rows = lambda x: jnp.stack([x, x + 0.2])
  total = lambda a, s: jnp.sum(jax.vmap(score)(a, s))

  @jax.jit
  def program(a, s):
    one = jax.grad(score)(A, LOG_SCALE)
    return one, jax.vmap(jax.grad(score))(a, s), jax.grad(total)(a, s)

  one, slope, of_total = program(rows(A), rows(LOG_SCALE))
  np.testing.assert_allclose(slope[0], one, rtol=1e-6)
  np.testing.assert_allclose(of_total, slope, rtol=1e-6)
  with raises('Pareto', 'score-function gradient', 'log_scale'):
    jax.vmap(jax.grad(score, 1))(rows(A), rows(LOG_SCALE))
  with raises('Pareto', 'score-function gradient', 'log_scale'):
    jax.grad(total, 1)(rows(A), rows(LOG_SCALE))


def test_second_derivative_is_exact_or_raises():
  curvature = jax.jit(jax.hessian(score))(A, LOG_SCALE)
  np.testing.assert_allclose(curvature, -jnp.diag(1 / A**2), atol=1e-5)
  with raises('Pareto', 'score-function gradient', 'log_scale'):
    jax.jacobian(jax.grad(score), 1)(A, LOG_SCALE)


@pytest.mark.parametrize('end', ['low', 'high'])
def test_score_of_either_end_of_a_uniform_raises(end):
  def value(x):
    ends = {'low': 0.0, 'high': 5.0} | {end: x}
    return vd.Uniform(**ends).for_score().log_prob(jnp.array(2.0))

  assert np.isfinite(value(1.0 if end == 'low' else 3.0))
  with raises('Uniform', 'score-function gradient', end):
    jax.grad(value)(1.0 if end == 'low' else 3.0)


def test_pathwise_gradient_of_an_end_of_the_support_exists(key):
  value = lambda s: jnp.sum(vd.reparameterise(key, vd.Pareto(A, s)))
  assert np.all(np.asarray(jax.grad(value)(LOG_SCALE)) > 0)


def test_family_that_admits_all_gradients_is_unchanged():
  q = vd.Normal(0.0, 0.0)
  assert q.for_score() is q
  assert q.for_pathwise() is q


def test_users_family_declares_its_pathwise_parameters(key):
  @vd.distribution
  class Rounded(vd.Distribution):
    loc: jax.Array
    digits: jax.Array

    pathwise_parameters = ('loc',)

    @property
    def shape(self):
      return jnp.shape(self.loc)

    def noise(self, key):
      return jax.random.normal(key, self.shape)

    def transform(self, eps):
      return self.loc + jnp.round(eps * self.digits) / self.digits

  value = lambda *parameters: vd.reparameterise(key, Rounded(*parameters))
  with jax.debug_key_reuse(False):
    assert jax.grad(value)(1.0, 10.0) == 1.0
    with raises('Rounded', 'pathwise gradient', 'digits'):
      jax.grad(value, 1)(1.0, 10.0)


def test_gradient_of_student_t_noise_in_df_raises(key):
  noise_key, other_key = jax.random.split(key)
  noise = lambda df: vd.StudentT(df, 0.5, 0.1).noise(noise_key)
  with pytest.raises(TypeError, match=r'StudentT\.noise has no gradient in df'):
    jax.grad(noise)(3.0)
  located = lambda loc: vd.StudentT(3.0, loc, 0.1).noise(other_key) + loc
  assert jax.jit(jax.grad(located))(0.5) == 1.0


@pytest.mark.parametrize('compiled', [False, True])
def test_integer_degrees_of_freedom_are_accepted(compiled, key):
  value = lambda loc: vd.StudentT(jnp.array(3), loc, 0.1).noise(key) + loc
  value = jax.jit(value) if compiled else value
  assert jax.grad(value)(0.5) == 1.0


def test_raise_on_gradient_returns_the_value():
  tree = {'a': jnp.arange(3.0), 'b': 2}
  for kept, value in zip(
    jax.tree.leaves(vd.raise_on_gradient(tree, 'no gradient')),
    jax.tree.leaves(tree),
    strict=True,
  ):
    np.testing.assert_array_equal(kept, value)
  with pytest.raises(TypeError, match='no gradient'):
    jax.jvp(lambda x: vd.raise_on_gradient(x, 'no gradient'), (1.0,), (1.0,))


@pytest.mark.quick('jit')
@wrapped
def test_second_derivative_of_a_surrogate_raises(wrap):
  once = lambda x: vd.first_order_only(x**3, 'this', "'that'")
  assert jax.grad(wrap(once))(2.0) == 12.0
  assert jax.jacfwd(wrap(once))(2.0) == 12.0
  message = "this has no second derivatives: use 'that'"
  for derivative in (
    jax.hessian(wrap(once)),
    jax.grad(jax.grad(wrap(once))),
    jax.jacfwd(jax.jacfwd(wrap(once))),
    jax.jacrev(jax.jacfwd(wrap(once))),
    jax.jit(jax.grad(jax.jit(jax.grad(wrap(once))))),
    lambda x: jax.vmap(jax.hessian(wrap(once)))(jnp.stack([x, x])),
  ):
    with pytest.raises(TypeError, match=message):
      jax.eval_shape(derivative, 2.0)
