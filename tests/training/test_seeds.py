"""Steps of many seeds, against those of each seed by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.training import epoch, seeds, steps
from vae_jax.training.train_step import TrainState

NUMBERS = range(4, 7)
PER_EPOCH, BATCH_SIZE = 11, 4
DATA = np.random.RandomState(0).randint(0, 256, (46, 5), np.uint8)
NEVER = 99


def binarise(key, x):
  draws = jax.random.bernoulli(key, x.astype(jnp.float32) / 255)
  return draws.astype(jnp.float32)


def step(key, train, batch):
  """Descends on a quadratic; reports what it has drawn, in whole numbers."""
  momentum, last = train.opt_state
  params = train.params - 0.1 * jnp.tanh(train.params - batch.mean(axis=0))
  bits = jax.random.bits(key, (), jnp.uint16)
  metrics = {
    'pixels': batch.sum(),
    'bits': bits.astype(jnp.float32),
    'loss': jnp.where(train.step < last, jnp.sum(params**2), jnp.nan),
  }
  opt_state = 0.9 * momentum + params, last
  return TrainState(train.step + 1, params, opt_state), metrics


def init(number, last=NEVER, momentum=0.0):
  """Returns a state whose steps are not finite from `last` on."""
  params = jax.random.normal(jax.random.key(number), (5,))
  opt_state = jnp.full(5, momentum), jnp.asarray(last)
  train = TrainState(jnp.zeros((), jnp.int32), params, opt_state)
  return epoch.init_run_state(train, ('pixels', 'bits', 'loss'))


def parts(number, **options):
  """Returns the key, the state and the batches of one seed."""
  order_key, train_key = jax.random.split(jax.random.key(number))
  resident = epoch.make_resident(order_key, jnp.asarray(DATA), BATCH_SIZE)
  state = init(number, **options)
  return train_key, state, resident(state)


def stacked(each):
  keys, states, batches = zip(*each, strict=True)
  keys = jnp.stack([jax.random.clone(key) for key in keys])
  return keys, seeds.stack(states), seeds.stack_batches(batches)


EACH = [parts(number) for number in NUMBERS]
TOGETHER = pytest.mark.parametrize('together', [True, False])


@pytest.mark.quick('skips-False')
@TOGETHER
@pytest.mark.parametrize(
  'make', [steps.make_steps, steps.make_skipping_steps], ids=['plain', 'skips']
)
def test_each_seed_takes_the_steps_of_its_own_run(make, together):
  one = make(step, binarise)
  many = seeds.over_seeds(one, together=together)
  keys, state, batches = stacked(EACH)
  after, finite = many(keys, state, batches, 7)
  after, _ = many(keys, after, batches, 4)
  assert finite.tolist() == [True] * 3
  for i, (key, start, own) in enumerate(EACH):
    expected, _ = one(key, start, own, PER_EPOCH)
    found = seeds.take(after, i)
    # Draws bit for bit, numbers to rounding.
    for name in ('pixels', 'bits'):
      assert found.sums[name] == expected.sums[name]
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6)
    jax.tree.map(close, found, expected)
  assert len({float(x) for x in after.sums['bits']}) == 3


def test_seeds_in_turn_have_the_bits_of_their_own_runs():
  one = steps.make_steps(step, binarise)
  after, _ = seeds.over_seeds(one, together=False)(*stacked(EACH), PER_EPOCH)
  for i, (key, start, own) in enumerate(EACH):
    expected, _ = one(key, start, own, PER_EPOCH)
    jax.tree.map(np.testing.assert_array_equal, seeds.take(after, i), expected)


def equations(jaxpr):
  for equation in jaxpr.eqns:
    yield equation
    for value in equation.params.values():
      for part in value if isinstance(value, tuple | list) else [value]:
        part = getattr(part, 'jaxpr', part)
        if hasattr(part, 'eqns'):
          yield from equations(part)


def test_loops_over_steps_have_one_predicate_for_all_seeds():
  """A predicate by seed would turn every carry into a select."""
  many = seeds.over_seeds(steps.make_steps(step, binarise))
  program = jax.make_jaxpr(many)(*stacked(EACH), 3).jaxpr
  loops = [e for e in equations(program) if e.primitive.name == 'while']
  predicates = [e.params['cond_jaxpr'].jaxpr.outvars[0] for e in loops]
  assert [x.aval.shape for x in predicates] == [()] * 2


@TOGETHER
def test_counts_are_shared_and_the_rest_is_by_seed(together):
  many = seeds.over_seeds(steps.make_steps(step, binarise), together=together)
  state, _ = many(*stacked(EACH), 3)
  scalars = state.train.step, state.epoch, state.best_elbo, state.best_step
  assert [x.shape for x in scalars] == [()] * 4
  assert state.train.step == 3
  assert state.train.params.shape == (3, 5)
  assert state.skipped.shape == state.sums['loss'].shape == (3,)


@pytest.mark.slow
@TOGETHER
@pytest.mark.parametrize(
  ('last', 'named'),
  [((NEVER, 5, 3), (6, 3)), ((0, 5, 0), (4, 0)), ((NEVER, 10, NEVER), (5, 10))],
)
def test_the_first_step_that_is_not_finite_is_named_with_its_seed(
  last, named, together
):
  one = steps.make_steps(step, binarise)
  many = seeds.over_seeds(one, together=together)
  call = stacked(
    [parts(n, last=at) for n, at in zip(NUMBERS, last, strict=True)]
  )
  _, finite = many(*call, PER_EPOCH)
  assert finite.tolist() == [at == NEVER for at in last]
  find = steps.make_find_nonfinite(step, binarise)
  bad = seeds.find_over_seeds(find, many, NUMBERS)(*call, PER_EPOCH)
  assert (bad.seed, int(bad.step)) == named
  assert str(bad) == f'seed {named[0]}, step {named[1]}: loss is nan'


def test_a_seed_is_named_whose_parameters_alone_are_not_finite():
  many = seeds.over_seeds(steps.make_steps(step, binarise))
  call = stacked([parts(4), parts(5, momentum=np.inf), parts(6)])
  find = steps.make_find_nonfinite(step, binarise)
  bad = seeds.find_over_seeds(find, many, NUMBERS)(*call, 3)
  assert str(bad) == 'seed 5, the parameters or the state of the optimizer'
  assert bad.step == -1


@TOGETHER
def test_each_seed_skips_its_own_steps(together):
  one = steps.make_skipping_steps(step, binarise)
  many = seeds.over_seeds(one, together=together)
  call = stacked([parts(4), parts(5, last=9), parts(6, last=2)])
  state, finite = many(*call, PER_EPOCH)
  assert finite.all()
  assert state.train.step == PER_EPOCH
  assert state.skipped.tolist() == [0, 2, 9]
  assert epoch.is_consistent(state, PER_EPOCH)
  assert not epoch.is_consistent(state, PER_EPOCH - 1)
  too_many = state._replace(skipped=state.skipped + 3)
  assert not epoch.is_consistent(too_many, PER_EPOCH)


def test_a_stack_gives_back_each_state():
  states = [init(number) for number in NUMBERS]
  stack = seeds.stack(states)
  for i, state in enumerate(states):
    jax.tree.map(np.testing.assert_array_equal, seeds.take(stack, i), state)
