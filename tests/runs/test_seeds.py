"""Runs of many seeds: metrics by seed, and the loop over a toy stack."""

import jax
import numpy as np
import pytest

from tests.runs import toy
from vae_jax import data, runs
from vae_jax.errors import UserError
from vae_jax.io import checkpoint, logger
from vae_jax.runs import (
  Config,
  EvaluateConfig,
  evaluate,
  load_run,
  loop,
  recipe,
  seeds,
  splits,
)
from vae_jax.runs.folder import RunFolder
from vae_jax.training import seeds as stacks

CONFIG = Config(seed=5, num_seeds=2)
NUMBERS = seeds.seeds_of(CONFIG)


def test_metrics_are_means_and_those_of_each_seed():
  each = [
    {'nll': 2.0, 'active_units': 3, 'nll_num_samples': 500},
    {'nll': 4.0, 'active_units': 4, 'nll_num_samples': 500},
  ]
  found = seeds.by_seed(NUMBERS, each)
  assert found == {
    **{'nll': 3.0, 'active_units': 3.5, 'nll_num_samples': 500},
    **{'nll_seed5': 2.0, 'nll_seed6': 4.0},
    **{'active_units_seed5': 3, 'active_units_seed6': 4},
  }
  for number, own in zip(NUMBERS, each, strict=True):
    assert seeds.metrics_of_seed(found, number) == own


def test_metrics_of_one_seed_only_are_refused():
  with pytest.raises(ValueError, match='metrics differ by seed'):
    seeds.by_seed(NUMBERS, [{'nll': 2.0}, {'nll': 2.0, 'best_nll': 1.0}])


def test_one_seed_keeps_its_functions():
  one = Config(seed=5)
  measure = lambda params: {'elbo': params}
  assert seeds.measure_each(one, measure) is measure
  assert seeds.warn_each(one, measure) is measure
  assert seeds.describe(one) == []
  assert seeds.vectorise(seeds.seeds_of(one), 'steps', 'find') == (
    'steps',
    'find',
  )


def test_warnings_name_the_seed():
  warn = seeds.warn_each(CONFIG, lambda params: [f'got {params}'])
  found = warn(np.array([1.5, 2.5]))
  assert found == ['seed 5: got 1.5', 'seed 6: got 2.5']


def started_at(a):
  state = toy.init()
  params = state.train.params | {'a': np.float32(a)}
  return state._replace(train=state.train._replace(params=params))


STARTS = (1.0, 3.0)


def steps(state, count):
  """Takes the steps of each seed by itself."""
  each = [toy.steps(stacks.take(state, i), count)[0] for i in range(2)]
  return stacks.stack(each), np.bool_(True)


MANY = toy.RECIPE._replace(
  init=lambda: stacks.stack([started_at(a) for a in STARTS]),
  steps=steps,
  validate=seeds.measure_each(CONFIG, toy.validate),
  monitor=seeds.measure_each(CONFIG, toy.monitor),
  average=lambda state, count: seeds.metrics_of_epoch(CONFIG, state, count),
)


def train(path, recipe=MANY):
  path.mkdir(exist_ok=True)
  folder = RunFolder(path)
  state = loop.start_or_resume(recipe, folder)
  state = loop.train_loop(
    recipe, folder, state, checkpoint_seconds=0.0, clock=toy.Clock()
  )
  log = logger.read_metrics(path / 'metrics.jsonl')
  return state, [line | {'examples_per_second': 0} for line in log]


def test_log_has_the_numbers_of_each_single_run(tmp_path):
  state, many = train(tmp_path / 'many')
  for number, a in zip(NUMBERS, STARTS, strict=True):
    single = toy.RECIPE._replace(init=lambda a=a: started_at(a))
    own, lines = train(tmp_path / str(number), single)
    for line, expected in zip(many, lines, strict=True):
      metrics = {k: x for k, x in expected.items() if k in line}
      assert seeds.metrics_of_seed(line, number) == metrics == expected
    jax.tree.map(
      np.testing.assert_array_equal,
      stacks.take(state, number - 5).train,
      own.train,
    )
  for line in many:
    if line['split'] == 'validation':
      mean = (line['elbo_seed5'] + line['elbo_seed6']) / 2
      assert line['elbo'] == mean


@pytest.mark.quick('5')
@pytest.mark.parametrize('stop', range(1, 6))
def test_resume_of_many_seeds_is_bit_identical(stop, tmp_path):
  _, expected = train(tmp_path / 'straight')
  left = [stop]

  def killed(state, count):
    if not left[0]:
      raise KeyboardInterrupt
    left[0] -= 1
    return steps(state, count)

  with pytest.raises(KeyboardInterrupt):
    train(tmp_path / 'killed', MANY._replace(steps=killed))
  _, found = train(tmp_path / 'killed')
  assert found == expected
  name = 'checkpoints/step_000000006.npz'
  straight, resumed = (
    (tmp_path / run / name).read_bytes() for run in ('straight', 'killed')
  )
  assert straight == resumed


def test_best_checkpoint_has_the_highest_mean_elbo(tmp_path):
  # The first seed is best after the second epoch, the mean after the first.
  elbos = iter([-2.0, -2.0, -1.0, -9.0])
  validate = lambda params: {'elbo': next(elbos)}
  many = MANY._replace(validate=seeds.measure_each(CONFIG, validate))
  state, _ = train(tmp_path / 'run', many)
  assert (int(state.best_step), float(state.best_elbo)) == (3, -2.0)
  folder = tmp_path / 'run' / 'checkpoints' / 'best'
  assert checkpoint.steps(folder) == [3]
  assert checkpoint.restore(folder, 3, state).train.params['a'].shape == (2,)


def test_validation_that_is_not_finite_names_the_seed(tmp_path):
  values = iter([1.0, float('nan')])
  validate = lambda params: {'elbo': -1.0, 'kl': next(values)}
  many = MANY._replace(validate=seeds.measure_each(CONFIG, validate))
  with pytest.raises(UserError, match='the validation kl_seed6 is nan'):
    train(tmp_path / 'run', many)


def test_a_seed_that_skips_every_step_of_an_epoch_is_named(tmp_path):
  def skipping(state, count):
    state, finite = steps(state, count)
    return state._replace(skipped=state.skipped + np.array([0, count])), finite

  with pytest.raises(UserError, match='the training elbo_seed6 is nan'):
    train(tmp_path / 'run', MANY._replace(steps=skipping))


def test_skipped_steps_are_counted_by_seed():
  state = stacks.stack([started_at(a) for a in STARTS])
  state = state._replace(
    sums={'elbo': np.array([-6.0, -2.0], np.float32)}, skipped=np.array([0, 2])
  )
  found = seeds.metrics_of_epoch(CONFIG, state, 3)
  assert (found['elbo_seed5'], found['elbo_seed6']) == (-2.0, -2.0)
  assert (found['skipped_steps_seed5'], found['skipped_steps_seed6']) == (0, 2)
  none = state._replace(skipped=np.array([0, 0]))
  assert 'skipped_steps' not in seeds.metrics_of_epoch(CONFIG, none, 3)


IMAGES = np.random.RandomState(0).randint(0, 256, (30, 2, 2, 1), np.uint8)
SMALL = {'hidden_sizes': (3,), 'latent_dim': 2, 'batch_size': 4}


@pytest.fixture
def tiny(monkeypatch):
  """Gives every run 23 small images."""
  load = lambda config, tell=None: (
    data.Split(IMAGES[7:], None),
    data.Split(IMAGES[:7], None),
  )
  monkeypatch.setattr(splits, 'load_train', load)


@pytest.mark.slow
def test_a_seed_of_many_equals_its_single_run(tiny):
  many = recipe.make_run(Config(**SMALL, seed=5, num_seeds=2)).recipe
  start = many.init()
  state, finite = many.steps(start, 5)
  assert finite
  metrics = many.average(state, 5) | many.measure(state)
  metrics |= many.validate(state.train.params)
  single = recipe.make_run(Config(**SMALL, seed=6)).recipe
  own = single.init()
  jax.tree.map(np.testing.assert_array_equal, stacks.take(start, 1), own)
  own, _ = single.steps(own, 5)
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
  jax.tree.map(close, stacks.take(state, 1), own)
  expected = single.average(own, 5) | single.measure(own)
  expected |= single.validate(own.train.params)
  found = seeds.metrics_of_seed(metrics, 6)
  assert [*found] == [*expected]
  close([*found.values()], [*expected.values()])


@pytest.mark.slow
def test_a_step_that_is_not_finite_is_named_with_its_seed(tiny, tmp_path):
  run = recipe.make_run(
    Config(**SMALL, seed=5, num_seeds=2, learning_rate=1e37, optimizer='sgd')
  )
  wanted = r'seed [56], step 1: .*expected finite numbers.*Use a smaller'
  with pytest.raises(UserError, match=wanted):
    loop.train_loop(
      run.recipe, RunFolder(tmp_path), run.recipe.init(), clock=toy.Clock()
    )


@pytest.mark.slow
def test_a_run_of_many_seeds_from_end_to_end(tmp_path, undrawn, capsys):
  options = {'num_epochs': 2, 'batch_size': 500, 'nll_num_samples': 3} | {
    'hidden_sizes': (4,),
    'latent_dim': 2,
  }
  metrics = runs.train(
    Config(**options, seed=5, num_seeds=2), folder=tmp_path / 'many'
  )
  printed = capsys.readouterr().out
  assert 'seeds 5 to 6 in one program' in printed
  single = runs.train(Config(**options, seed=6), folder=tmp_path / 'single')
  found = seeds.metrics_of_seed(metrics, 6)
  assert [*found] == [*single]
  np.testing.assert_allclose([*found.values()], [*single.values()], rtol=1e-4)

  run, own = (load_run(tmp_path / name) for name in ('many', 'single'))
  images = data.load_test('digits').x[:3]
  with pytest.raises(ValueError, match=r'seeds 5 to 6.*Use run.of_seed\(5\)'):
    run.encode(images)
  with pytest.raises(
    ValueError, match=r'got 7, expected a seed .* from 5 to 6'
  ):
    run.of_seed(7)
  one = run.of_seed(6)
  assert one.config == own.config
  assert one.metrics == one.metrics | found
  np.testing.assert_allclose(
    one.encode(images).mean(), own.encode(images).mean(), rtol=1e-4, atol=1e-5
  )

  options = {'num_samples': 3, 'num_examples': 20, 'gaps': True} | {
    'num_gap_examples': 2
  }
  several, alone = (
    evaluate(EvaluateConfig(workdir=str(tmp_path / name), **options))
    for name in ('many', 'single')
  )
  found = seeds.metrics_of_seed(several, 6)
  assert [*found] == [*alone]
  for name, value in alone.items():
    np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-3)
  with pytest.raises(UserError, match='--num_seeds=1, expected 2 as the run'):
    runs.train(Config(seed=5), folder=tmp_path / 'many')
