import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vae_jax as vj
from vae_jax.models.make import make_vae
from vae_jax.training import epoch

BATCH_SIZE, PER_EPOCH = 4, 5
IMAGES = np.random.RandomState(0).randint(0, 256, (22, 3, 3, 1), np.uint8)
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
def params():
  return jax.jit(VAE.init)(jax.random.key(0))


def init():
  """Returns a new state, as its buffers are donated."""
  train = vj.init_train_state(jax.tree.map(jnp.array, params()), ADAM)
  return epoch.init_run_state(train, METRICS)


def make_keys():
  return epoch.RunKeys(*jax.random.split(jax.random.key(1)))


def make_steps(preprocess=binarise):
  return epoch.make_steps(make_step(), preprocess, BATCH_SIZE)


@pytest.fixture(scope='module')
def steps():
  """One compiled program for the tests below."""
  return make_steps()


def assert_trees_equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_batch_indices_are_a_new_permutation_in_each_epoch(key):
  first, second, *others = (
    np.asarray(epoch.batch_indices(key, number, 22, 4)) for number in range(6)
  )
  assert first.shape == (PER_EPOCH, 4)
  assert len(np.unique(first)) == 20
  assert (first != second).any()
  # An example left out of one epoch appears in another.
  assert set(np.ravel([first, second, *others])) == set(range(22))


@pytest.mark.parametrize('cuts', [(2, 3), (1, 1, 1, 1, 1), (4, 1)])
def test_divided_epoch_is_bit_identical(cuts, steps):
  keys = make_keys()
  whole, _ = steps(keys, init(), IMAGES, PER_EPOCH)
  state = init()
  for count in cuts:
    state, _ = steps(keys, state, IMAGES, count)
  assert_trees_equal(whole, state)


def test_number_of_steps_does_not_recompile(steps):
  keys = make_keys()
  state = init()
  for count in (2, 3, 1):
    state, _ = steps(keys, state, IMAGES, count)
  state, _ = steps(keys, epoch.finish_epoch(state, 0.0), IMAGES, PER_EPOCH)
  assert steps._cache_size() == 1


def test_compiled_steps_equal_a_loop_over_batches(steps):
  keys = make_keys()
  step = jax.jit(make_step())
  slow, losses = init().train, []
  for i in range(7):
    number, place = divmod(i, PER_EPOCH)
    order = epoch.batch_indices(keys.order, number, len(IMAGES), 4)
    step_key = jax.random.fold_in(keys.train, i)
    preprocess_key, loss_key = jax.random.split(step_key)
    batch = binarise(preprocess_key, IMAGES[order[place]])
    slow, metrics = step(loss_key, slow, batch)
    losses.append(metrics['loss'])
  fast, _ = steps(keys, init(), IMAGES, PER_EPOCH)
  means = epoch.epoch_metrics(fast, PER_EPOCH)
  np.testing.assert_allclose(means['loss'], np.mean(losses[:5]), rtol=1e-5)
  fast, _ = steps(keys, epoch.finish_epoch(fast, 0.0), IMAGES, 2)
  means = epoch.epoch_metrics(fast, 2)
  np.testing.assert_allclose(means['loss'], np.mean(losses[5:]), rtol=1e-5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
    fast.train,
    slow,
  )


def test_state_is_donated(steps):
  state = init()
  steps(make_keys(), state, IMAGES, 1)
  assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.train))


def test_best_epoch_is_recorded(steps):
  keys = make_keys()
  state, found = init(), []
  for elbo in (-3.0, -1.0, -2.0, float('nan')):
    state, _ = steps(keys, state, IMAGES, PER_EPOCH)
    state = epoch.finish_epoch(state, elbo)
    found.append((float(state.best_elbo), int(state.best_step)))
  assert found == [(-3.0, 5), (-1.0, 10), (-1.0, 10), (-1.0, 10)]
  assert state.epoch == 4


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
  with jax.debug_key_reuse(False):
    steps, keys, state = make_steps(), make_keys(), init()
    for _ in range(2):
      state, _ = steps(keys, state, IMAGES, PER_EPOCH)
      state = epoch.finish_epoch(state, 0.0)
    jax.effects_barrier()
  keys_seen = np.concatenate([np.atleast_2d(x) for x in seen])
  # A step draws one binarisation, and one z per example.
  assert len(keys_seen) == 2 * PER_EPOCH * (1 + BATCH_SIZE)
  assert len(np.unique(keys_seen, axis=0)) == len(keys_seen)


def test_binarisation_is_redrawn_at_each_visit():
  batches = []

  def preprocess(key, images):
    x = binarise(key, images)
    jax.debug.callback(lambda x: batches.append(np.asarray(x)), x.sum())
    return x

  steps, keys, state = make_steps(preprocess), make_keys(), init()
  for _ in range(3):
    state, _ = steps(keys, state, jnp.full_like(IMAGES, 128), PER_EPOCH)
    state = epoch.finish_epoch(state, 0.0)
  jax.effects_barrier()
  assert len(batches) == 15
  assert len({float(x) for x in batches}) > 5


BROKEN = {
  'kl is nan': lambda x: jnp.full_like(x, jnp.nan),
  'grad_norm is inf': lambda x: jnp.sqrt(0 * x),
}


def descent(bad_step, *, skip_nonfinite, broken='kl is nan'):
  """Minimises the sum of two numbers; one of five steps is not finite."""

  def loss(key, params, batch):
    del key
    is_bad = batch == bad_step
    x = 1 + params[0] ** 2
    extra = jax.lax.cond(is_bad, BROKEN[broken], jnp.zeros_like, x)
    terms = {'kl': jnp.sum(params) + jax.lax.stop_gradient(extra)}
    return jnp.sum(params) + jnp.where(is_bad, extra, 0.0), terms

  sgd = optax.sgd(1.0)
  step = vj.make_train_step(loss, sgd)
  # The batch of a step is its number.
  numbered = lambda key, state, batch: step(key, state, state.step)
  steps = epoch.make_steps(
    numbered, lambda key, x: x, 4, skip_nonfinite=skip_nonfinite
  )
  keys = epoch.RunKeys(*jax.random.split(jax.random.key(0)))
  train = vj.init_train_state(jnp.zeros(2), sgd)
  state = epoch.init_run_state(train, ('kl', 'loss', 'grad_norm'))
  return steps(keys, state, jnp.zeros((20, 1)), PER_EPOCH)


@pytest.mark.parametrize('bad_step', [0, 3])
@pytest.mark.parametrize('broken', BROKEN)
def test_first_nonfinite_step_is_named(broken, bad_step):
  state, bad = descent(bad_step, skip_nonfinite=False, broken=broken)
  assert bad.step == bad_step
  assert broken.split()[0] in ' '.join(bad.terms)
  # No step follows it.
  assert state.train.step == bad_step + 1


@pytest.mark.parametrize('bad_step', [0, 3])
def test_skipped_step_changes_nothing_and_is_counted(bad_step):
  state, bad = descent(bad_step, skip_nonfinite=True)
  assert bad.step == bad_step
  assert state.train.step == PER_EPOCH
  np.testing.assert_array_equal(state.train.params, [-4.0, -4.0])
  metrics = epoch.epoch_metrics(state, PER_EPOCH)
  assert metrics['skipped_steps'] == 1
  assert metrics['kl'] == np.mean([0, -2, -4, -6])


def test_finite_epoch_names_no_step():
  for skip_nonfinite in (False, True):
    state, bad = descent(-7, skip_nonfinite=skip_nonfinite)
    assert bad.step == -1
    assert 'skipped_steps' not in epoch.epoch_metrics(state, PER_EPOCH)


def test_mean_over_an_epoch_of_skipped_steps_is_nan():
  state, _ = descent(-7, skip_nonfinite=True)
  state = state._replace(skipped=jnp.int32(PER_EPOCH))
  assert np.isnan(epoch.epoch_metrics(state, PER_EPOCH)['kl'])
