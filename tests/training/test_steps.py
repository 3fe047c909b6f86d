import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vae_jax as vj
from vae_jax.models.make import make_vae
from vae_jax.training import epoch, steps
from vae_jax.training.epoch import Batches

BATCH_SIZE, PER_EPOCH = 4, 11
IMAGES = np.random.RandomState(0).randint(0, 256, (46, 3, 3, 1), np.uint8)
VAE = make_vae(data_shape=(3, 3, 1), latent_dim=2, hidden_sizes=(8,))
ADAM = optax.adam(1e-2)
METRICS = ('elbo', 'log_likelihood', 'kl', 'loss', 'grad_norm')


def binarise(key, images):
  """Draws x ~ Bernoulli(pixel / 255)."""
  draws = jax.random.bernoulli(key, images.astype(jnp.float32) / 255)
  return draws.astype(jnp.float32)


def make_step():
  return vj.make_train_step(vj.make_loss(VAE), ADAM)


@functools.cache
def init():
  params = jax.jit(VAE.init)(jax.random.key(0))
  return epoch.init_run_state(vj.init_train_state(params, ADAM), METRICS)


def new_keys():
  return jax.random.split(jax.random.key(1))


def make_call(make=steps.make_steps, preprocess=binarise, images=IMAGES):
  """Returns `call(state, count)` over resident images, and its program."""
  program = make(make_step(), preprocess)
  order_key, train_key = new_keys()
  batches = epoch.make_resident(order_key, jnp.asarray(images), BATCH_SIZE)

  def call(state, count):
    return program(train_key, state, batches(state), count)

  return call, program


@pytest.fixture(scope='module')
def call():
  """One compiled program for the tests below."""
  return make_call()[0]


def assert_trees_equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize('cuts', [(2, 9), (1,) * 11, (10, 1)])
def test_divided_epoch_is_bit_identical(cuts, call):
  whole, _ = call(init(), PER_EPOCH)
  state = init()
  for count in cuts:
    state, finite = call(state, count)
    assert finite
  assert_trees_equal(whole, state)


@pytest.mark.quick('1')
@pytest.mark.parametrize('numbers', [1, 36, 3 * 36])
def test_length_of_a_block_changes_no_bit(numbers, call, monkeypatch):
  monkeypatch.setattr(steps, '_NUMBERS_PER_BLOCK', numbers)
  other, _ = make_call()
  assert_trees_equal(call(init(), 5), other(init(), 5))


def test_blocks_are_bounded_in_steps_and_memory():
  def length(size, batch_size):
    data = jax.ShapeDtypeStruct((1000, size), jnp.uint8)
    rows = jax.ShapeDtypeStruct((9, batch_size), jnp.int32)
    return steps._steps_per_block(Batches(data, rows, 0))

  assert length(784, 20) == 8
  assert length(784, 500) == 2
  assert length(10**6, 500) == 1
  assert length(1, 1) == 8


def test_number_of_steps_does_not_recompile():
  call, program = make_call()
  state = init()
  for count in (2, 8, 1):
    state, _ = call(state, count)
  call(epoch.finish_epoch(state, 0.0), PER_EPOCH)
  assert program._cache_size() == 1


def by_hand(count):
  """Returns the state after some steps, and the loss of each."""
  order_key, train_key = new_keys()
  step, state, losses = jax.jit(make_step()), init().train, []
  for i in range(count):
    number, place = divmod(i, PER_EPOCH)
    order = epoch.batch_indices(order_key, number, len(IMAGES), BATCH_SIZE)
    step_key = jax.random.fold_in(train_key, i)
    preprocess_key, loss_key = jax.random.split(step_key)
    batch = binarise(preprocess_key, IMAGES[order[place]])
    state, metrics = step(loss_key, state, batch)
    losses.append(metrics['loss'])
  return state, np.array(losses)


@pytest.mark.quick('plain')
@pytest.mark.parametrize(
  'make', [steps.make_steps, steps.make_skipping_steps], ids=['plain', 'skips']
)
def test_compiled_steps_equal_a_loop_over_batches(make):
  slow, losses = by_hand(13)
  call, _ = make_call(make)
  fast, _ = call(init(), PER_EPOCH)
  means = epoch.epoch_metrics(fast, PER_EPOCH)
  np.testing.assert_allclose(means['loss'], losses[:11].mean(), rtol=1e-5)
  fast, _ = call(epoch.finish_epoch(fast, 0.0), 2)
  means = epoch.epoch_metrics(fast, 2)
  np.testing.assert_allclose(means['loss'], losses[11:].mean(), rtol=1e-5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
    fast.train,
    slow,
  )


def test_no_step_computes_a_norm_or_tests_its_gradient():
  """The compiled loop has no reduction of a gradient to one number."""
  text = make_call()[1].lower(
    new_keys()[1],
    init(),
    Batches(IMAGES, jnp.zeros((PER_EPOCH, BATCH_SIZE), jnp.int32), 0),
    2,
  )
  loops = text.compile().as_text()
  assert 'is-finite' in loops
  body = [part for part in loops.split('\n\n') if 'dot(' in part]
  assert body
  assert not any('is-finite' in part or 'sqrt(f32[]' in part for part in body)


def test_state_before_a_call_can_be_used_again(call):
  state = init()
  assert_trees_equal(call(state, 3), call(state, 3))


def test_keys_are_distinct_per_step_example_and_purpose(monkeypatch):
  seen = []
  record = lambda data: seen.append(np.asarray(data).copy())
  normal, bernoulli = jax.random.normal, jax.random.bernoulli

  def spy(draw):
    def wrapped(key, *args, **kwargs):
      jax.debug.callback(record, jax.random.key_data(key), ordered=False)
      return draw(key, *args, **kwargs)

    return wrapped

  monkeypatch.setattr(jax.random, 'normal', spy(normal))
  monkeypatch.setattr(jax.random, 'bernoulli', spy(bernoulli))
  # Otherwise examples are also preprocessed for steps of the next call.
  monkeypatch.setattr(steps, '_STEPS_PER_BLOCK', 1)
  with jax.debug_key_reuse(False):
    call, state = make_call()[0], init()
    for _ in range(2):
      state, _ = call(state, PER_EPOCH)
      state = epoch.finish_epoch(state, 0.0)
    jax.effects_barrier()
  keys_seen = np.concatenate([np.atleast_2d(x) for x in seen])
  # A step draws one binarisation, and one z per example.
  assert len(keys_seen) == 2 * PER_EPOCH * (1 + BATCH_SIZE)
  assert len(np.unique(keys_seen, axis=0)) == len(keys_seen)


def test_binarisation_is_redrawn_at_each_visit(monkeypatch):
  batches = []

  def preprocess(key, images):
    x = binarise(key, images)
    jax.debug.callback(lambda x: batches.append(np.asarray(x)), x.sum())
    return x

  monkeypatch.setattr(steps, '_STEPS_PER_BLOCK', 1)
  call, _ = make_call(preprocess=preprocess, images=np.full_like(IMAGES, 128))
  state = init()
  for _ in range(2):
    state, _ = call(state, PER_EPOCH)
    state = epoch.finish_epoch(state, 0.0)
  jax.effects_barrier()
  assert len(batches) == 22
  assert len({float(x) for x in batches}) > 5


BROKEN = {
  'kl is nan': lambda x: jnp.full_like(x, jnp.nan),
  'grad_norm is inf': lambda x: jnp.sqrt(0 * x),
}


def descent(bad_step, make, broken='kl is nan', optimizer=optax.sgd):
  """Minimises the sum of two numbers; one of eleven steps is not finite."""

  def loss(key, params, batch):
    del key
    is_bad = batch == bad_step
    x = 1 + params[0] ** 2
    extra = jax.lax.cond(is_bad, BROKEN[broken], jnp.zeros_like, x)
    terms = {'kl': jnp.sum(params) + jax.lax.stop_gradient(extra)}
    return jnp.sum(params) + jnp.where(is_bad, extra, 0.0), terms

  step = vj.make_train_step(loss, optimizer(1.0))
  # The batch of a step is its number.
  numbered = lambda key, state, batch: step(key, state, state.step)
  train = vj.init_train_state(jnp.zeros(2), optimizer(1.0))
  state = epoch.init_run_state(train, ('kl', 'loss', 'grad_norm'))
  batches = Batches(jnp.zeros((20, 1)), jnp.zeros((11, 4), jnp.int32), 0)
  program = make(numbered, lambda key, x: x)
  return program(jax.random.key(0), state, batches, PER_EPOCH)


@pytest.mark.quick('kl is nan-0', 'kl is nan-3', 'kl is nan-10')
@pytest.mark.parametrize('bad_step', [0, 3, 10])
@pytest.mark.parametrize('broken', BROKEN)
def test_first_nonfinite_step_is_detected_and_named(broken, bad_step):
  _, finite = descent(bad_step, steps.make_steps, broken)
  assert not finite
  bad = descent(bad_step, steps.make_find_nonfinite, broken)
  assert bad.step == bad_step
  assert str(bad).startswith(f'step {bad_step}: ')
  assert broken.split()[0] in str(bad)


def test_state_of_the_optimizer_that_overflows_is_detected():
  """Adam's second moment of a gradient of 1e30 is infinite."""

  def huge(rate):
    adam = optax.adam(rate)
    scale = optax.scale(1e30)
    return optax.chain(scale, adam)

  _, finite = descent(-7, steps.make_steps, optimizer=huge)
  assert not finite


@pytest.mark.parametrize('broken', BROKEN)
@pytest.mark.parametrize('bad_step', [0, 3])
def test_skipped_step_changes_nothing_and_is_counted(bad_step, broken):
  state, finite = descent(bad_step, steps.make_skipping_steps, broken)
  assert finite
  assert state.train.step == PER_EPOCH
  np.testing.assert_array_equal(state.train.params, [-10.0, -10.0])
  metrics = epoch.epoch_metrics(state, PER_EPOCH)
  assert metrics['skipped_steps'] == 1
  assert metrics['kl'] == np.mean(-2 * np.arange(10))


def test_finite_epoch_names_no_step():
  for make in (steps.make_steps, steps.make_skipping_steps):
    state, finite = descent(-7, make)
    assert finite
    assert 'skipped_steps' not in epoch.epoch_metrics(state, PER_EPOCH)
  bad = descent(-7, steps.make_find_nonfinite)
  assert bad.step == -1
  assert str(bad) == 'the parameters or the state of the optimizer'


@pytest.mark.slow
def test_norm_of_the_gradient_is_that_of_a_step():
  step, (_, key) = make_step(), new_keys()
  norm = steps.make_gradient_norm(step, binarise)
  train = init().train._replace(step=jnp.int32(7))
  preprocess_key, loss_key = jax.random.split(jax.random.fold_in(key, 7))
  batch = binarise(preprocess_key, IMAGES[:4])
  expected = jax.jit(step)(loss_key, train, batch)[1]['grad_norm']
  np.testing.assert_allclose(norm(key, train, IMAGES[:4]), expected, rtol=1e-5)
