"""Moving average of the parameters, against its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vae_jax as vj
from vae_jax.training import average, epoch, seeds, steps

DECAY = 0.8
VALUES = np.random.RandomState(0).normal(size=(6, 3))


def averaged(values, decay):
  """Returns sum_i d^(t - i) p_i / sum_i d^(t - i)."""
  weights = decay ** np.arange(len(values))[::-1]
  return weights @ values / weights.sum()


def test_average_is_debiased():
  found = average.init_average({'w': jnp.ones(3)})
  present = average.averaged_params(found, {'w': jnp.full(3, 7.0)})
  np.testing.assert_array_equal(present['w'], 7)
  for i, value in enumerate(VALUES):
    found = average.add_to_average(found, {'w': jnp.asarray(value)}, DECAY)
    exact = averaged(VALUES[: i + 1], DECAY)
    np.testing.assert_allclose(found.params['w'], exact, rtol=1e-5)


def test_average_near_one_is_the_mean():
  found = average.init_average(jnp.zeros(3))
  for value in VALUES:
    found = average.add_to_average(found, jnp.asarray(value), 1 - 1e-6)
  np.testing.assert_allclose(found.params, VALUES.mean(axis=0), rtol=1e-4)


def test_average_of_low_precision_moves():
  found = average.init_average(jnp.ones((), jnp.bfloat16))
  for value in (1.0, *[1.0078125] * 300):
    found = average.add_to_average(found, jnp.bfloat16(value), 0.999)
  present = average.averaged_params(found, jnp.ones((), jnp.bfloat16))
  assert present.dtype == jnp.bfloat16
  assert 1.0077 < found.params < 1.0078125


def quadratic(ema):
  """Returns a step and its first state; the batch is the gradient."""
  sgd = optax.sgd(1.0)
  loss = lambda key, params, batch: jnp.sum(params * batch.mean(axis=0))
  step = vj.make_train_step(loss, sgd, ema=ema)
  train = vj.init_train_state(jnp.zeros(3), sgd, ema=ema)
  return step, epoch.init_run_state(train, ('loss',))


def batches(data, state):
  rows = jnp.arange(len(data), dtype=jnp.int32)[:, None]
  return epoch.Batches(jnp.asarray(data, jnp.float32), rows, state.epoch)


def test_steps_average_the_parameters_after_each(key):
  step, state = quadratic(DECAY)
  _, plain = quadratic(0.0)
  own = steps.make_steps(step, lambda key, x: x)
  after, finite = own(key, state, batches(VALUES, state), len(VALUES))
  assert finite
  exact = averaged(-np.cumsum(VALUES, axis=0), DECAY)
  np.testing.assert_allclose(after.train.ema.params, exact, rtol=1e-5)
  assert plain.train.ema is None
  with pytest.raises(ValueError, match='ema'):
    own(key, plain, batches(VALUES, plain), 1)


def test_a_skipped_step_is_not_averaged(key):
  data = VALUES.copy()
  data[[0, 3]] = np.nan
  step, state = quadratic(DECAY)
  skipping = steps.make_skipping_steps(step, lambda key, x: x)
  after, _ = skipping(key, state, batches(data, state), len(data))
  path = -np.cumsum(np.delete(data, [0, 3], axis=0), axis=0)
  np.testing.assert_allclose(
    after.train.ema.params, averaged(path, DECAY), rtol=1e-5
  )
  assert (after.train.step, after.train.ema.num_steps) == (6, 4)


@pytest.mark.parametrize('together', [True, False])
def test_each_seed_has_its_own_average(key, together):
  step, state = quadratic(DECAY)
  one = steps.make_steps(step, lambda key, x: x)
  orders = [[0, 1, 2, 3], [4, 2, 5, 0]]
  each = [
    batches(VALUES, state)._replace(rows=jnp.array(order)[:, None])
    for order in orders
  ]
  many = seeds.over_seeds(one, together=together)
  after, _ = many(
    jax.random.split(key, 2),
    seeds.stack([state, state]),
    seeds.stack_batches(each),
    4,
  )
  present = average.averaged_params(after.train.ema, after.train.params)
  for found, order in zip(present, orders, strict=True):
    exact = averaged(-np.cumsum(VALUES[order], axis=0), DECAY)
    np.testing.assert_allclose(found, exact, rtol=1e-5)
  shapes = average.average_of(jnp.zeros((2, 3)), 2)
  assert jax.tree.map(jnp.shape, after.train.ema) == jax.tree.map(
    jnp.shape, shapes
  )
