import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vae_jax as vj
from vae_jax import data, objectives, train_step

CONFIG = vj.Config(latent_dim=2, hidden_sizes=(8,), batch_size=4)
IMAGES = jnp.asarray(
  np.random.RandomState(0).randint(0, 256, (22, 3, 3, 1), np.uint8)
)
PER_EPOCH = 5
VAE = vj.make_vae(CONFIG, (3, 3, 1))
ADAM = optax.adam(1e-2)


def make_step():
  return vj.make_train_step(objectives.make_loss(CONFIG, VAE), ADAM)


def setup(prepare=data.binarise):
  steps = train_step.make_train_steps(make_step(), prepare, CONFIG.batch_size)
  init = lambda: vj.init_train_state(VAE.init(jax.random.key(0)), ADAM)
  order_key, train_key = jax.random.split(jax.random.key(1))
  return init, steps, train_step.RunKeys(order_key, train_key)


def assert_trees_equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_step_is_one_step_of_the_optimizer(key):
  loss = lambda key, params, batch: jnp.sum((params - batch) ** 2)
  sgd = optax.sgd(0.1, momentum=0.9)
  state = vj.init_train_state(jnp.array([1.0, 2.0]), sgd)
  step = vj.make_train_step(loss, sgd)
  state, metrics = step(key, state, jnp.zeros(2))
  np.testing.assert_allclose(state.params, [0.8, 1.6], rtol=1e-6)
  assert state.step == 1
  np.testing.assert_allclose(metrics['loss'], 5.0)
  np.testing.assert_allclose(metrics['grad_norm'], np.sqrt(20), rtol=1e-6)
  # The next has the momentum of this one: 0.8 - 0.1 (2 * 0.8 + 0.9 * 2).
  state, _ = step(key, state, jnp.zeros(2))
  np.testing.assert_allclose(state.params, [0.46, 0.92], rtol=1e-6)


def test_a_refit_comes_before_the_gradient_with_a_key_of_its_own(key):
  refit = lambda key, params, batch: params + jax.random.normal(key, (2,))
  loss = lambda key, params, batch: (
    jnp.sum(params**2),
    {'draw': jax.random.normal(key)},
  )
  # What decays are the refitted too.
  decayed = optax.chain(optax.add_decayed_weights(0.5), optax.sgd(0.1))
  state = vj.init_train_state(jnp.ones(2), decayed)
  step = vj.make_train_step(loss, decayed, refit=refit)
  state, metrics = step(key, state, None)
  loss_key, refit_key = jax.random.split(jax.random.clone(key))
  fitted = 1 + jax.random.normal(refit_key, (2,))
  np.testing.assert_allclose(state.params, 0.75 * fitted, rtol=1e-5)
  np.testing.assert_allclose(metrics['loss'], np.sum(fitted**2), rtol=1e-5)
  np.testing.assert_allclose(metrics['draw'], jax.random.normal(loss_key))


def test_terms_are_reported_as_means(key):
  terms = objectives.ElboTerms(*jnp.arange(6.0).reshape(3, 2))
  loss = lambda key, params, batch: (jnp.sum(params), terms)
  sgd = optax.sgd(0.1)
  state = vj.init_train_state(jnp.ones(2), sgd)
  _, metrics = vj.make_train_step(loss, sgd)(key, state, None)
  assert metrics['elbo'] == 0.5
  assert metrics['kl'] == 4.5


def test_batch_indices_are_a_permutation_that_each_epoch_redraws(key):
  first, second, *others = (
    np.asarray(train_step.batch_indices(key, epoch, 22, 4))
    for epoch in range(6)
  )
  assert first.shape == (PER_EPOCH, 4)
  assert len(np.unique(first)) == 20
  assert (first != second).any()
  # What one leaves out has its turn in another.
  assert set(np.ravel([first, second, *others])) == set(range(22))


def test_many_calls_are_one_call():
  init, steps, keys = setup()
  whole, info = steps(keys, init(), IMAGES, PER_EPOCH)
  state, first = steps(keys, init(), IMAGES, 2)
  state, second = steps(keys, state, IMAGES, 3)
  assert_trees_equal(whole, state)
  np.testing.assert_allclose(
    info.metrics['loss'],
    (2 * first.metrics['loss'] + 3 * second.metrics['loss']) / 5,
    rtol=1e-5,
  )


def test_one_trace_serves_any_number_of_steps():
  init, steps, keys = setup()
  state = init()
  for count in (2, 3, 5, 1):
    state, _ = steps(keys, state, IMAGES, count)
  assert steps._cache_size() == 1


def test_compiled_steps_are_a_plain_loop_over_batches():
  init, steps, keys = setup()
  step = jax.jit(make_step())
  slow = init()
  for i in range(7):
    epoch, place = divmod(i, PER_EPOCH)
    order = train_step.batch_indices(keys.order, epoch, len(IMAGES), 4)
    step_key = jax.random.fold_in(keys.train, i)
    prepare_key, loss_key = jax.random.split(step_key)
    batch = data.binarise(prepare_key, IMAGES[order[place]])
    slow, _ = step(loss_key, slow, batch)
  fast, _ = steps(keys, init(), IMAGES, PER_EPOCH)
  fast, _ = steps(keys, fast, IMAGES, 2)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
    fast,
    slow,
  )


def test_the_old_state_gives_its_memory_to_the_new():
  init, steps, keys = setup()
  state = init()
  steps(keys, state, IMAGES, 1)
  assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))


def test_every_use_of_a_key_has_its_own(monkeypatch):
  """The keys of (step, example, use) are all distinct."""
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
    init, steps, keys = setup()
    state = init()
    for _ in range(2):
      state, _ = steps(keys, state, IMAGES, PER_EPOCH)
    jax.effects_barrier()
  keys_seen = np.concatenate([np.atleast_2d(x) for x in seen])
  # A step draws one binarisation and a z an example.
  assert len(keys_seen) == 2 * PER_EPOCH * (1 + CONFIG.batch_size)
  assert len(np.unique(keys_seen, axis=0)) == len(keys_seen)


def test_binarisation_is_redrawn_at_each_visit():
  batches = []

  def prepare(key, images):
    x = data.binarise(key, images)
    jax.debug.callback(lambda x: batches.append(np.asarray(x)), x.sum())
    return x

  init, steps, keys = setup(prepare)
  state = init()
  for _ in range(3):
    state, _ = steps(keys, state, jnp.full_like(IMAGES, 128), PER_EPOCH)
  jax.effects_barrier()
  assert len(batches) == 15
  assert len({float(x) for x in batches}) > 5


@pytest.mark.parametrize('bad', [0, 3])
@pytest.mark.parametrize(
  'broken',
  [lambda x: jnp.full_like(x, jnp.nan), lambda x: jnp.sqrt(0 * x)],
  ids=['value', 'gradient'],
)
def test_first_step_that_is_not_finite_is_named(broken, bad):
  def loss(key, params, batch):
    del key, batch
    is_bad = params[0] <= -bad
    return jnp.sum(params) + jax.lax.cond(
      is_bad, broken, jnp.zeros_like, params[0]
    )

  sgd = optax.sgd(1.0)
  step = vj.make_train_step(loss, sgd)
  steps = train_step.make_train_steps(step, lambda key, x: x, 4)
  keys = train_step.RunKeys(*jax.random.split(jax.random.key(0)))
  state = vj.init_train_state(jnp.zeros(2), sgd)
  _, info = steps(keys, state, jnp.zeros((20, 1)), 5)
  assert info.bad_step == bad


def test_a_schedule_gives_the_loss_its_weight_at_each_step():
  optimizer = optax.sgd(0.1)
  loss = lambda key, params, batch, *, beta: beta * jnp.sum(params**2)
  step = vj.make_train_step(
    loss, optimizer, schedules={'beta': lambda step: 0.5 * step}
  )
  state = vj.init_train_state(jnp.ones(3), optimizer)
  betas = []
  for key in jax.random.split(jax.random.key(0), 3):
    state, metrics = step(key, state, None)
    betas.append(float(metrics['beta']))
  assert betas == [0.0, 0.5, 1.0]
