import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.helpers import assert_trees_close


def test_statistics_match_numpy(key):
  draws = {'a': jax.random.normal(key, (50, 3)) + 2}
  found = vj.gradient_statistics(draws)
  x = np.asarray(draws['a'], np.float64)
  variance = x.var(axis=0, ddof=1)
  np.testing.assert_allclose(found.mean['a'], x.mean(axis=0), rtol=1e-5)
  np.testing.assert_allclose(found.variance['a'], variance, rtol=1e-4)
  np.testing.assert_allclose(
    found.standard_error['a'], np.sqrt(variance / 50), rtol=1e-4
  )
  np.testing.assert_allclose(
    found.signal_to_noise['a'], x.mean(axis=0) / np.sqrt(variance), rtol=1e-4
  )


def test_statistics_of_one_draw_are_refused():
  with pytest.raises(ValueError, match='at least 2'):
    vj.gradient_statistics(jnp.ones((1, 3)))


def test_zero_draws_are_refused(key):
  with pytest.raises(ValueError, match='num_samples is 0'):
    vj.sample_gradients(key, lambda key, x: x, 1.0, num_samples=0)


ESTIMATORS = {
  'pathwise': vj.pathwise,
  'antithetic': functools.partial(vj.pathwise, antithetic=True),
  'score': vj.score_function,
  'leave one out': functools.partial(
    vj.score_function, baseline='leave_one_out'
  ),
  'delta': functools.partial(vj.score_function, baseline='delta'),
  'measure': vj.measure_valued,
}


@pytest.mark.quick('antithetic')
@pytest.mark.parametrize('name', ESTIMATORS)
def test_eager_jit_and_vmap_agree(name):
  def objective(key, params):
    q = vj.Laplace(params['loc'], params['log_scale'])
    f = lambda z: jnp.sum(jnp.sin(z) * params['weight'])
    return ESTIMATORS[name](key, q, f, num_samples=4)

  params = {'loc': jnp.ones(2), 'log_scale': jnp.zeros(2), 'weight': 2.0}
  gradient = jax.value_and_grad(objective, 1)
  keys = jax.random.split(jax.random.key(0), 3)
  batched = jax.jit(jax.vmap(gradient, (0, None)))(keys, params)
  compiled = jax.jit(gradient)
  for i, each in enumerate(jax.random.split(jax.random.key(0), 3)):
    one = jax.tree.map(lambda x, i=i: x[i], batched)
    assert_trees_close(compiled(each, params), one, rtol=1e-4)
  eager = gradient(jax.random.split(jax.random.key(0), 3)[1], params)
  assert_trees_close(eager, jax.tree.map(lambda x: x[1], batched), rtol=1e-4)


@pytest.mark.parametrize('name', ESTIMATORS)
def test_float64_parameters_give_float64_gradients(name):
  with jax.enable_x64(True):
    key = jax.random.key(0)

    def objective(loc):
      q = vj.Normal(loc, jnp.zeros(2))
      f = lambda z: jnp.sum(jnp.square(z))
      return ESTIMATORS[name](key, q, f, num_samples=4)

    value, grads = jax.eval_shape(jax.value_and_grad(objective), jnp.ones(2))
    assert value.dtype == grads.dtype == jnp.float64


def test_estimators_with_one_key_use_common_random_numbers(key):
  q = vj.Normal(jnp.ones(3), 0.0)
  values = [
    estimator(jax.random.clone(key), q, jnp.sum, num_samples=5)
    for estimator in (vj.pathwise, vj.score_function)
  ]
  np.testing.assert_allclose(values[0], values[1], rtol=1e-6)
