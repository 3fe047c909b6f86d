"""A training run of two parameters that minimises a quadratic."""

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.runs.functions import Chosen, Recipe
from vae_jax.training.epoch import init_run_state
from vae_jax.training.steps import NonFinite
from vae_jax.training.train_step import TrainState

STEPS_PER_EPOCH, NUM_EPOCHS, BATCH_SIZE = 3, 2, 10
NONE = NonFinite(np.int32(-1), {})


def init():
  params = {'a': jnp.ones(()), 'b': jnp.full((), -2.0)}
  momentum = jax.tree.map(jnp.zeros_like, params)
  train = TrainState(jnp.zeros((), jnp.int32), params, momentum)
  return init_run_state(train, ('elbo', 'loss'))


def one_step(state):
  """Gradient descent with momentum on (a^2 + b^2) / 2, and some noise."""
  step, params, momentum = jax.device_get(state.train[:3])
  noise = np.sin(np.float32(step))
  momentum = {k: np.float32(0.5) * v + params[k] for k, v in momentum.items()}
  params = {
    k: np.float32(v - 0.1 * momentum[k] + 0.01 * noise)
    for k, v in params.items()
  }
  loss = np.float32(sum(v**2 for v in params.values()) / 2)
  train = TrainState(np.int32(step + 1), params, momentum)
  sums = {'elbo': state.sums['elbo'] - loss, 'loss': state.sums['loss'] + loss}
  return state._replace(train=train, sums=sums)


def steps(state, count):
  """Takes steps within one epoch."""
  assert count >= 1
  end = (int(state.epoch) + 1) * STEPS_PER_EPOCH
  assert int(state.train.step) + count <= end
  new = state
  for _ in range(count):
    new = one_step(new)
  new = jax.device_put(jax.tree.map(np.asarray, new))
  return new, np.bool_(True)


def validate(params):
  loss = float(params['a'] ** 2 + params['b'] ** 2)
  return {'elbo': -loss, 'log_likelihood': -0.5 * loss, 'kl': 0.5 * loss}


def monitor(epoch, params):
  return {'a_k1_all_noise': float(params['a'])} if epoch == 1 else {}


RECIPE = Recipe(
  init=init,
  steps=steps,
  find_nonfinite=lambda state, count: NONE,
  validate=validate,
  monitor=monitor,
  num_examples=STEPS_PER_EPOCH * BATCH_SIZE + 1,
  steps_per_epoch=STEPS_PER_EPOCH,
  num_epochs=NUM_EPOCHS,
  batch_size=BATCH_SIZE,
  metric='elbo',
)


def make_choosing():
  """Returns the recipe of a run that chooses how it steps, in each epoch.

  The choice depends on the parameters; a step and what is measured at the end
  of an epoch depend on the choice.
  """
  selected = []

  def choose(state, read, agree):
    epoch = int(state.epoch)
    begins = int(state.train.step) == epoch * STEPS_PER_EPOCH
    if selected and not begins:
      return None
    found = [x for x in read() if x['split'] == 'estimator']
    if begins:
      found = [x for x in found if x['epoch'] == epoch]
    if found:
      return Chosen(found[-1]['chosen'], 'again', {})
    name = f'{float(state.train.params["a"]):.6f}'
    return Chosen(name, 'chosen', {'chosen': name})

  def chosen_steps(state, count):
    new, finite = steps(state, count)
    if selected:
      more = np.float32(1e-3 * count * (1 + float(selected[-1])))
      params = {k: v + more for k, v in new.train.params.items()}
      new = new._replace(train=new.train._replace(params=params))
    return new, finite

  def measure(state):
    return {'grad_norm': float(selected[-1]) if selected else 0.0}

  return RECIPE._replace(
    choose=choose, select=selected.append, steps=chosen_steps, measure=measure
  )


class Clock:
  """A clock that advances by a fixed time at each look."""

  def __init__(self, tick=1.0):
    self.now, self.tick = 0.0, tick

  def __call__(self):
    self.now += self.tick
    return self.now
