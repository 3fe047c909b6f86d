import functools
import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vae_jax.runs.config import ObjectiveOptions, OptimizerOptions
from vae_jax.training import OPTIMIZERS, SCHEDULES, optimizer, optimizers
from vae_jax.training.optimizer import (
  make_loss_schedules,
  make_optimizer,
  update,
)


def rates(epochs, schedule='constant', learning_rate=1e-3, num_epochs=100):
  at = SCHEDULES[schedule].make(learning_rate, num_epochs, 10)
  return np.array([at(10 * epoch) for epoch in epochs])


def test_constant_schedule():
  np.testing.assert_allclose(rates([0, 5, 99], learning_rate=0.02), 0.02)


def test_cosine_decays_to_zero_over_the_run():
  values = rates([0, 5, 10], 'cosine', num_epochs=10)
  np.testing.assert_allclose(values, [1e-3, 5e-4, 0.0], atol=1e-9)
  assert [n for n, row in SCHEDULES.items() if row.spans_run] == ['cosine']


def test_iwae_schedule_is_the_staircase_of_burda():
  # Stage i lasts 3^i epochs: it starts at epoch (3^i - 1) / 2.
  starts = [(3**i - 1) // 2 for i in range(8)]
  assert starts[-1] + 3**7 == 3280
  exact = 1e-3 * 10.0 ** (-np.arange(8) / 7)
  # In optax the step at a boundary belongs to the stage before it.
  schedule = SCHEDULES['iwae'].make(1e-3, 3280, 10)
  first = np.array([schedule(10 * start + 1) for start in starts])
  np.testing.assert_allclose(first, exact, rtol=1e-5)
  np.testing.assert_allclose(rates([3280], 'iwae'), 1e-4, rtol=1e-5)


def test_kl_warmup_increases_beta_linearly():
  beta = make_loss_schedules(beta=4.0, kl_warmup_epochs=2, steps_per_epoch=10)
  found = [beta['beta'](step) for step in (0, 1, 10, 19, 20, 500)]
  np.testing.assert_allclose(found, [0, 0.2, 2, 3.8, 4, 4], rtol=1e-6)
  assert make_loss_schedules(beta=4.0, steps_per_epoch=10) == {}


def test_objective_part_of_a_config_makes_the_warmup():
  part = ObjectiveOptions(beta=4.0, kl_warmup_epochs=2)
  beta = make_loss_schedules(part, steps_per_epoch=10)['beta']
  np.testing.assert_allclose([beta(5), beta(20)], [1.0, 4.0])
  assert make_loss_schedules(ObjectiveOptions()) == {}


PARAMS = {'w': jnp.array([1.0, -1.0]), 'b': jnp.float32(0.5)}
GRADS = {'w': jnp.array([5.0, -0.1]), 'b': jnp.float32(2.0)}
# Vectors and scalars are not decayed.
OPTAX = {
  'adam': optax.adam,
  'adamw': functools.partial(optax.adamw, mask={'w': False, 'b': False}),
  'adamax': optax.adamax,
  'sgd': optax.sgd,
}


def run(transformation, num_steps=3):
  """Returns the parameters after each of a few steps."""

  def steps():
    params, state, found = PARAMS, transformation.init(PARAMS), []
    for i in range(num_steps):
      grads = jax.tree.map(lambda g, i=i: g * (1 + i), GRADS)
      params, state = optimizer.update(transformation, grads, state, params)
      found.append(params)
    return found

  return jax.jit(steps)()


def test_table_of_optimizers_is_complete():
  assert set(OPTIMIZERS) == set(OPTAX)


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_steps_equal_those_of_optax(name):
  found = run(make_optimizer(optimizer=name, learning_rate=0.01))
  exact = run(OPTAX[name](0.01))
  jax.tree.map(np.testing.assert_array_equal, found, exact)
  # No other row of the table takes these steps.
  for other, make in OPTAX.items():
    if {other, name} - {'adam', 'adamw'}:
      if other == name:
        continue
      assert np.any(run(make(0.01))[-1]['w'] != exact[-1]['w']), other


def test_optimizer_follows_its_schedule():
  decayed = make_optimizer(
    optimizer='sgd',
    learning_rate=0.1,
    schedule='cosine',
    num_epochs=2,
    steps_per_epoch=1,
  )
  found = [p['b'] for p in run(decayed)]
  # Rates 0.1, 0.05, 0 times gradients 2, 4, 6.
  np.testing.assert_allclose(found, [0.3, 0.1, 0.1], rtol=1e-5)


MIXED = {
  'kernel': jnp.full((2, 2), 3.0),
  'bias': jnp.ones(2),
  's': jnp.ones(()),
}


def first_step(**options):
  """Returns the update of the first step on a gradient of ones."""
  made = make_optimizer(**options)
  ones = jax.tree.map(jnp.ones_like, MIXED)
  new, _ = update(made, ones, made.init(MIXED), MIXED)
  return jax.tree.map(lambda a, b: a - b, new, MIXED)


def test_weight_decay_is_decoupled_and_spares_biases_and_scalars():
  rate, decay = 0.01, 0.25
  plain = first_step(learning_rate=rate)
  found = first_step(optimizer='adamw', learning_rate=rate, weight_decay=decay)
  extra = jax.tree.map(lambda a, b: a - b, found, plain)
  np.testing.assert_allclose(extra['kernel'], -rate * decay * 3, rtol=1e-3)
  np.testing.assert_allclose(extra['bias'], 0, atol=1e-8)
  np.testing.assert_allclose(extra['s'], 0, atol=1e-8)


def test_clip_norm_scales_the_whole_gradient():
  # The norm of seven ones; gradient descent shows the gradient.
  norm, options = np.sqrt(7), {'optimizer': 'sgd', 'learning_rate': 1.0}
  for most in (0.5, 2.0):
    found = first_step(**options, clip_norm=most)
    for leaf in jax.tree.leaves(found):
      np.testing.assert_allclose(leaf, -most / norm, rtol=1e-5)
  for most in (0.0, 2.7, 1e30):
    found = first_step(**options, clip_norm=most)
    for leaf in jax.tree.leaves(found):
      np.testing.assert_array_equal(leaf, -1)


@pytest.mark.parametrize('size', [1e-30, 1e25, 3e38])
def test_clipped_gradients_of_any_size_keep_their_direction(size):
  grads = {'a': jnp.array([3 * size / 5, 0.0]), 'b': jnp.array(-4 * size / 5)}
  found = optimizers.clip(grads, 1e-35)
  np.testing.assert_allclose(found['a'], [6e-36, 0], rtol=1e-5)
  np.testing.assert_allclose(found['b'], -8e-36, rtol=1e-5)
  zeros = jax.tree.map(jnp.zeros_like, grads)
  jax.tree.map(
    np.testing.assert_array_equal, optimizers.clip(zeros, 1.0), zeros
  )


@pytest.mark.parametrize('bad', [jnp.nan, jnp.inf])
def test_clipping_hides_no_gradient_that_is_not_finite(bad):
  grads = {'a': jnp.array([bad, 1.0]), 'b': jnp.ones(())}
  assert not np.isfinite(optimizers.clip(grads, 1.0)['a'][0])


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_options_keep_the_arrays_of_the_state(name):
  """A run may resume with another rate, schedule, norm or decay."""
  names = lambda **options: [
    (jax.tree_util.keystr(path), leaf.shape, leaf.dtype)
    for path, leaf in jax.tree_util.tree_leaves_with_path(
      make_optimizer(optimizer=name, **options).init(MIXED)
    )
  ]
  other = {'schedule': 'cosine', 'clip_norm': 1.0, 'weight_decay': 0.0}
  assert names(**other, learning_rate_warmup_steps=3) == names()


def test_first_step_of_adam_has_the_size_of_the_rate():
  params = run(make_optimizer(learning_rate=0.01), 1)[0]
  np.testing.assert_allclose(params['w'], [0.99, -0.99], rtol=1e-5)


def test_optimizer_part_of_a_config_equals_keywords():
  options = {
    'optimizer': 'adamax',
    'learning_rate': 0.05,
    'schedule': 'cosine',
    'num_epochs': 2,
  }
  exact = run(make_optimizer(**options, steps_per_epoch=2))
  part = OptimizerOptions(**options, batch_size=7)
  stand_in = types.SimpleNamespace(**options, anything=3)
  for config in (part, stand_in):
    found = run(make_optimizer(config, steps_per_epoch=2))
    jax.tree.map(np.testing.assert_array_equal, found, exact)


def test_defaults_of_the_keywords_are_those_of_the_config():
  part, keywords = vars(OptimizerOptions()), make_optimizer.__kwdefaults__
  for name in ('optimizer', 'learning_rate', 'schedule'):
    assert part[name] == keywords[name]


@pytest.mark.parametrize('name', ['optimizer', 'schedule'])
def test_unknown_names_are_refused_with_the_choices(name):
  choices = {'optimizer': OPTIMIZERS, 'schedule': SCHEDULES}[name]
  with pytest.raises(ValueError, match=f"{name} is 'nope'") as error:
    make_optimizer(**{name: 'nope'})
  assert all(repr(choice) in str(error.value) for choice in choices)


@pytest.mark.parametrize('bad', [jnp.nan, jnp.inf])
def test_gradients_that_an_optimizer_replaces_reach_no_parameter(bad):
  params = {'a': jnp.ones(2), 'b': jnp.ones(())}
  grads = {'a': jnp.array([bad, 1.0]), 'b': jnp.ones(())}
  sgd = optax.chain(optax.zero_nans(), optax.clip(1.0), optax.sgd(0.5))
  new, _ = jax.jit(functools.partial(update, sgd))(
    grads, sgd.init(params), params
  )
  first = 0.5 if jnp.isinf(bad) else 1.0
  np.testing.assert_array_equal(new['a'], [first, 0.5])
  assert new['b'] == 0.5


def test_a_loop_updates_its_weights_in_place():
  """Weights that the backward pass reads are not copied before."""

  def loss(w, x):
    return jnp.sum(jnp.tanh(jnp.tanh(x @ w[0]) @ w[1]) ** 2)

  def step(i, carry):
    w, state = carry
    return update(sgd, jax.grad(loss)(w, x), state, w)

  sgd, x = optax.sgd(0.1), jnp.ones((8, 64))
  w = [jnp.ones((64, 64)), jnp.ones((64, 32))]

  def run(w, n):
    return jax.lax.fori_loop(0, n, step, (w, sgd.init(w)))

  text = jax.jit(run).lower(w, 3).compile().as_text()
  loops = [part for part in text.split('\n\n') if 'ENTRY' not in part]
  assert any('dot' in part for part in loops)
  copied = re.compile(r'f32\[64,(64|32)\]\S* copy\(')
  assert not any(copied.search(part) for part in loops)


def test_rate_increases_over_the_warm_up_and_then_follows_its_schedule():
  """The step of gradient descent on a gradient of -1 is the rate."""
  options = {'optimizer': 'sgd', 'learning_rate': 0.5, 'schedule': 'cosine'}
  counts = {'num_epochs': 4, 'steps_per_epoch': 5}
  plain, warmed = (
    make_optimizer(**options, **counts, learning_rate_warmup_epochs=epochs)
    for epochs in (0, 2)
  )

  def steps(optimizer):
    state, found = optimizer.init(jnp.zeros(())), []
    for _ in range(20):
      update, state = optimizer.update(-jnp.ones(()), state)
      found.append(float(update))
    return np.array(found)

  ramp = np.minimum(1, np.arange(1, 21) / 10)
  np.testing.assert_allclose(steps(warmed), ramp * steps(plain), rtol=1e-6)
  in_steps = make_optimizer(**options, **counts, learning_rate_warmup_steps=10)
  np.testing.assert_array_equal(steps(in_steps), steps(warmed))
  with pytest.raises(ValueError, match='expected one of both'):
    make_optimizer(learning_rate_warmup_epochs=1, learning_rate_warmup_steps=1)
