"""What has no gradient of a kind raises, when it is asked for and only then."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax.distributions as vd

A, LOG_SCALE = jnp.array([2.5, 4.0]), jnp.array([0.1, -0.3])
Z = jnp.array([2.0, 3.0])


def refuses(name, gradient, parameter):
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
def test_a_discrete_family_is_not_reparameterised(q, key):
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
def test_an_implicit_family_has_no_noise_to_transform(q, key):
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
  """Calls f inside the body of a loop."""

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
def test_the_score_of_a_moving_end_is_refused(wrap):
  with refuses('Pareto', 'score-function gradient', 'log_scale'):
    jax.grad(wrap(score), 1)(A, LOG_SCALE)
  with refuses('Pareto', 'score-function gradient', 'log_scale'):
    jax.grad(wrap(score), (0, 1))(A, LOG_SCALE)


@wrapped
def test_the_score_of_the_other_parameters_is_served(wrap):
  exact = 1 / A - (jnp.log(Z) - LOG_SCALE)
  slope = jax.grad(wrap(score))(A, LOG_SCALE)
  np.testing.assert_allclose(slope, exact, rtol=1e-5)


@wrapped
def test_a_moving_end_that_is_stopped_is_served(wrap):
  stopped = lambda a, s: score(a, jax.lax.stop_gradient(s))
  slopes = jax.grad(wrap(stopped), (0, 1))(A, LOG_SCALE)
  np.testing.assert_allclose(
    slopes[0], 1 / A - (jnp.log(Z) - LOG_SCALE), rtol=1e-5
  )
  np.testing.assert_array_equal(slopes[1], 0.0)


def test_under_vmap_the_score_is_served_and_refused_alike():
  rows = lambda x: jnp.stack([x, x + 0.2])
  slope = jax.vmap(jax.grad(score))(rows(A), rows(LOG_SCALE))
  np.testing.assert_allclose(slope[0], jax.grad(score)(A, LOG_SCALE), rtol=1e-6)
  total = lambda a, s: jnp.sum(jax.vmap(score)(a, s))
  np.testing.assert_allclose(
    jax.grad(total)(rows(A), rows(LOG_SCALE)), slope, rtol=1e-6
  )
  with refuses('Pareto', 'score-function gradient', 'log_scale'):
    jax.vmap(jax.grad(score, 1))(rows(A), rows(LOG_SCALE))
  with refuses('Pareto', 'score-function gradient', 'log_scale'):
    jax.grad(total, 1)(rows(A), rows(LOG_SCALE))


def test_a_second_derivative_is_served_and_refused_alike():
  curvature = jax.jit(jax.hessian(score))(A, LOG_SCALE)
  np.testing.assert_allclose(curvature, -jnp.diag(1 / A**2), atol=1e-5)
  with refuses('Pareto', 'score-function gradient', 'log_scale'):
    jax.jacobian(jax.grad(score), 1)(A, LOG_SCALE)


@pytest.mark.parametrize('end', ['low', 'high'])
def test_the_score_of_either_end_of_a_uniform_is_refused(end):
  def value(x):
    ends = {'low': 0.0, 'high': 5.0} | {end: x}
    return vd.Uniform(**ends).for_score().log_prob(jnp.array(2.0))

  assert np.isfinite(value(1.0 if end == 'low' else 3.0))
  with refuses('Uniform', 'score-function gradient', end):
    jax.grad(value)(1.0 if end == 'low' else 3.0)


def test_the_pathwise_gradient_of_a_moving_end_is_served(key):
  value = lambda s: jnp.sum(vd.reparameterise(key, vd.Pareto(A, s)))
  assert np.all(np.asarray(jax.grad(value)(LOG_SCALE)) > 0)


def test_a_family_that_admits_all_is_not_guarded():
  q = vd.Normal(0.0, 0.0)
  assert q.for_score() is q
  assert q.for_pathwise() is q


def test_a_users_family_declares_what_it_admits(key):
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
    with refuses('Rounded', 'pathwise gradient', 'digits'):
      jax.grad(value, 1)(1.0, 10.0)


def test_the_noise_of_student_t_refuses_its_gradient_in_df(key):
  noise_key, other_key = jax.random.split(key)
  noise = lambda df: vd.StudentT(df, 0.5, 0.1).noise(noise_key)
  with pytest.raises(TypeError, match=r'StudentT\.noise has no gradient in df'):
    jax.grad(noise)(3.0)
  located = lambda loc: vd.StudentT(3.0, loc, 0.1).noise(other_key) + loc
  assert jax.grad(located)(0.5) == 1.0


@pytest.mark.parametrize('compiled', [False, True])
def test_whole_degrees_of_freedom_are_served(compiled, key):
  value = lambda loc: vd.StudentT(jnp.array(3), loc, 0.1).noise(key) + loc
  value = jax.jit(value) if compiled else value
  assert jax.grad(value)(0.5) == 1.0


def test_what_is_refused_has_its_value():
  tree = {'a': jnp.arange(3.0), 'b': 2}
  for kept, value in zip(
    jax.tree.leaves(vd.refuse_gradient(tree, 'no way')),
    jax.tree.leaves(tree),
    strict=True,
  ):
    np.testing.assert_array_equal(kept, value)
  with pytest.raises(TypeError, match='no way'):
    jax.jvp(lambda x: vd.refuse_gradient(x, 'no way'), (1.0,), (1.0,))
