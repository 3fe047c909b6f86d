import jax.numpy as jnp
import numpy as np
import optax

import vae_jax as vj
from vae_jax.training import epoch


def test_batch_indices_are_a_new_permutation_in_each_epoch(key):
  first, second, *others = (
    np.asarray(epoch.batch_indices(key, number, 22, 4)) for number in range(6)
  )
  assert first.shape == (5, 4)
  assert len(np.unique(first)) == 20
  assert (first != second).any()
  # An example left out of one epoch appears in another.
  assert set(np.ravel([first, second, *others])) == set(range(22))


def make_state(metrics=('elbo', 'loss', 'grad_norm')):
  train = vj.init_train_state(jnp.zeros(2), optax.sgd(1.0))
  return epoch.init_run_state(train, metrics)


def test_norm_of_the_gradient_is_not_summed():
  assert set(make_state().sums) == {'elbo', 'loss'}


def test_resident_batches_are_those_of_the_epoch(key):
  x = np.arange(22)
  batches = epoch.make_resident(key, x, 4)
  for number in (0, 0, 3):
    state = make_state()._replace(epoch=jnp.int32(number))
    found = batches(state)
    assert found.first == 5 * number
    assert found.data is x
    expected = epoch.batch_indices(key, number, 22, 4)
    np.testing.assert_array_equal(found.rows, expected)


def test_best_epoch_is_recorded():
  state, found = make_state(), []
  for elbo in (-3.0, -1.0, -2.0, float('nan')):
    train = state.train._replace(step=state.train.step + 5)
    state = epoch.finish_epoch(state._replace(train=train), elbo)
    found.append((float(state.best_elbo), int(state.best_step)))
  assert found == [(-3.0, 5), (-1.0, 10), (-1.0, 10), (-1.0, 10)]
  assert state.epoch == 4


def test_metrics_of_an_epoch_are_means_over_the_steps_that_count():
  sums = {'elbo': jnp.float32(-12.0), 'loss': jnp.float32(6.0)}
  state = make_state()._replace(sums=sums)
  assert epoch.epoch_metrics(state, 6) == {'elbo': -2.0, 'loss': 1.0}
  skipped = state._replace(skipped=jnp.int32(2))
  expected = {'elbo': -3.0, 'loss': 1.5, 'skipped_steps': 2}
  assert epoch.epoch_metrics(skipped, 6) == expected
  assert np.isnan(epoch.epoch_metrics(skipped, 2)['elbo'])
