"""The training loop on a two-parameter quadratic: no model, no compilation."""

import errno
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.runs import toy
from vae_jax.errors import ReadError, UserError
from vae_jax.io import checkpoint, files, logger, signals
from vae_jax.runs import loop
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.pace import StepsPerCall, Throughput
from vae_jax.training.steps import NonFinite

LAST = toy.NUM_EPOCHS * toy.STEPS_PER_EPOCH


def train(path, recipe=toy.RECIPE, **options):
  options = {'checkpoint_seconds': 4.0, 'clock': toy.Clock()} | options
  folder = RunFolder(path)
  state = loop.start_or_resume(recipe, folder)
  return loop.train_loop(recipe, folder, state, **options)


def lines(path):
  """Returns the logged metrics without the measured speed."""
  records = logger.read_metrics(path / 'metrics.jsonl')
  clock = 'examples_per_second'
  return [{k: v for k, v in r.items() if k != clock} for r in records]


def arrays(path, step=LAST):
  return (path / 'checkpoints' / f'step_{step:09d}.npz').read_bytes()


@pytest.fixture
def straight(tmp_path):
  """The folder of a run without interruption, and its final state."""
  path = tmp_path / 'straight'
  path.mkdir()
  return path, train(path)


def test_every_epoch_is_logged_with_its_split(straight):
  path, _ = straight
  found = [(x['step'], x['epoch'], x['split']) for x in lines(path)]
  assert found == [
    *((3, 1, 'train'), (3, 1, 'validation'), (3, 1, 'gradients')),
    *((6, 2, 'train'), (6, 2, 'validation')),
  ]
  train_losses = [x['loss'] for x in lines(path) if x['split'] == 'train']
  state = toy.init()
  for _ in range(3):
    state = toy.one_step(state)
  np.testing.assert_allclose(train_losses[0], state.sums['loss'] / 3)


def test_final_state_is_that_of_all_steps_and_is_saved(straight):
  path, state = straight
  expected = toy.init()
  for _ in range(LAST):
    expected = toy.one_step(expected)
  jax.tree.map(
    np.testing.assert_array_equal, state.train.params, expected.train.params
  )
  restored = checkpoint.restore(path / 'checkpoints', LAST, state)
  jax.tree.map(np.testing.assert_array_equal, restored, state)
  assert int(state.epoch) == toy.NUM_EPOCHS


class Killed(BaseException):
  """The process ends at once and saves nothing."""


class Interrupter:
  """Interrupts before or after the n-th call of the watched functions."""

  def __init__(self, at, interrupt):
    self.count, self.at, self.interrupt = 0, at, interrupt

  def event(self):
    self.count += 1
    if self.count == self.at:
      self.interrupt()

  def watch(self, function):
    def watched(*args, **kwargs):
      self.event()
      result = function(*args, **kwargs)
      self.event()
      return result

    return watched


def interrupted(path, monkeypatch, at, interrupt, recipe=toy.RECIPE):
  """Trains with an interruption; returns how many moments there are."""
  interrupter = Interrupter(at, interrupt)
  with monkeypatch.context() as patch, signals.installed():
    for target, name in (
      (logger.MetricsLogger, 'write'),
      (checkpoint, 'save'),
      (files, 'write'),
    ):
      patch.setattr(target, name, interrupter.watch(getattr(target, name)))
    recipe = recipe._replace(
      **{
        name: interrupter.watch(getattr(recipe, name))
        for name in ('steps', 'validate', 'monitor', 'choose')
      }
    )
    folder = RunFolder(path)
    try:
      state = loop.start_or_resume(recipe, folder)
      loop.train_loop(
        recipe, folder, state, checkpoint_seconds=4.0, clock=toy.Clock()
      )
    except (signals.Stopped, Killed):
      assert interrupter.count >= at > 0
  return interrupter.count


def kill():
  raise Killed


@pytest.mark.quick('SIGTERM')
@pytest.mark.parametrize(
  'interrupt',
  [lambda: signal.raise_signal(signal.SIGTERM), kill],
  ids=['SIGTERM', 'SIGKILL'],
)
def test_resume_is_bit_identical_after_every_interruption(
  interrupt, straight, tmp_path, monkeypatch
):
  path, _ = straight
  # Waiting for the disk takes most of the time and does not matter here.
  monkeypatch.setattr(files.os, 'fsync', lambda descriptor: None)
  total = interrupted(tmp_path, monkeypatch, 0, interrupt)
  assert total > 50
  for moment in range(1, total + 1):
    here = tmp_path / str(moment)
    here.mkdir()
    interrupted(here, monkeypatch, moment, interrupt)
    train(here)
    assert lines(here) == lines(path), moment
    assert arrays(here) == arrays(path), moment
    best = checkpoint.steps(here / 'checkpoints' / 'best')
    assert best == checkpoint.steps(path / 'checkpoints' / 'best')


@pytest.mark.slow
@pytest.mark.parametrize(
  'interrupt',
  [lambda: signal.raise_signal(signal.SIGTERM), kill],
  ids=['SIGTERM', 'SIGKILL'],
)
def test_choices_of_an_estimator_survive_every_interruption(
  interrupt, tmp_path, monkeypatch
):
  path = tmp_path / 'straight'
  path.mkdir()
  train(path, toy.make_choosing())
  chosen = [x for x in lines(path) if x['split'] == 'estimator']
  assert [x['epoch'] for x in chosen] == [*range(toy.NUM_EPOCHS)]
  monkeypatch.setattr(files.os, 'fsync', lambda descriptor: None)
  total = interrupted(tmp_path, monkeypatch, 0, interrupt, toy.make_choosing())
  for moment in range(1, total + 1):
    here = tmp_path / str(moment)
    here.mkdir()
    interrupted(here, monkeypatch, moment, interrupt, toy.make_choosing())
    train(here, toy.make_choosing())
    assert lines(here) == lines(path), moment
    assert arrays(here) == arrays(path), moment


@pytest.mark.parametrize('name', ['SIGHUP', 'SIGINT', 'SIGTERM'])
def test_signal_within_a_call_saves_the_state_after_it(name, tmp_path, capsys):
  def stopped(state, count):
    signal.raise_signal(getattr(signal, name))
    return toy.steps(state, count)

  with signals.installed(), pytest.raises(signals.Stopped):
    train(tmp_path, toy.RECIPE._replace(steps=stopped))
  assert checkpoint.steps(tmp_path / 'checkpoints') == [0, 1]
  assert 'saved at step 1: run the same command' in capsys.readouterr().out


@pytest.mark.parametrize('moment', range(1, 30))
def test_best_state_is_saved_by_a_stop_at_any_moment(
  moment, tmp_path, monkeypatch
):
  """The signal arrives at the n-th look at the clock, mostly between calls."""
  clock = toy.Clock()

  def tick():
    clock.now += 1e-3
    if clock.now > moment * 1e-3 - 1e-6 and not stopped:
      stopped.append(1)
      signal.raise_signal(signal.SIGTERM)
    return clock.now

  stopped = []
  monkeypatch.setattr(files.os, 'fsync', lambda descriptor: None)
  state = None
  try:
    with signals.installed():
      train(tmp_path, clock=tick)
  except signals.Stopped:
    pass
  folder = tmp_path / 'checkpoints'
  target = jax.eval_shape(toy.init)
  _, state = checkpoint.restore_latest(folder, target)
  expected = [int(state.best_step)] if state.epoch else []
  assert checkpoint.steps(folder / 'best') == expected


def test_text_without_a_reader_saves_the_state(tmp_path, monkeypatch):
  def refuse(self, text):
    raise BrokenPipeError(errno.EPIPE, 'Broken pipe')

  monkeypatch.setattr(logger.Progress, 'line', refuse)
  with pytest.raises(BrokenPipeError):
    train(tmp_path, clock=toy.Clock(1e-3))
  assert checkpoint.steps(tmp_path / 'checkpoints') == [0, 3]


def test_completed_run_changes_no_file(straight):
  path, state = straight
  before = (path / 'metrics.jsonl').read_bytes(), arrays(path)
  again = train(path)
  assert ((path / 'metrics.jsonl').read_bytes(), arrays(path)) == before
  jax.tree.map(np.testing.assert_array_equal, again, state)


def test_more_epochs_resume_to_the_same_bits(straight, tmp_path, capsys):
  path, _ = straight
  train(tmp_path, toy.RECIPE._replace(num_epochs=1))
  train(tmp_path)
  assert 'resuming from step 3\n' in capsys.readouterr().out
  assert lines(tmp_path) == lines(path)
  assert arrays(tmp_path) == arrays(path)


def test_fewer_epochs_than_completed_are_refused(straight):
  path, _ = straight
  with pytest.raises(UserError, match='num_epochs=1, expected 2 or more'):
    train(path, toy.RECIPE._replace(num_epochs=1))


def saved_steps(monkeypatch):
  """Records the steps of the newest and of the best checkpoints."""
  newest, best, save = [], [], checkpoint.save

  def watched(folder, step, tree, **options):
    (best if folder.name == 'best' else newest).append(step)
    return save(folder, step, tree, **options)

  monkeypatch.setattr(checkpoint, 'save', watched)
  return newest, best


@pytest.mark.parametrize(
  ('seconds', 'expected'), [(1e9, [0, LAST]), (0.0, [*range(LAST + 1)])]
)
def test_checkpoints_are_as_far_apart_as_asked(
  seconds, expected, tmp_path, monkeypatch
):
  newest, _ = saved_steps(monkeypatch)
  # One step per call, so that every step could be saved.
  train(tmp_path, checkpoint_seconds=seconds, clock=toy.Clock(100.0))
  assert sorted(set(newest)) == expected


def test_only_the_newest_checkpoints_stay(tmp_path):
  train(tmp_path, checkpoint_seconds=0.0, keep_checkpoints=3)
  assert len(checkpoint.steps(tmp_path / 'checkpoints')) == 3


@pytest.mark.parametrize(
  ('elbos', 'best'),
  [((-2, -1, -3), 6), ((-3, -2, -1), 9), ((-1, -2, -3), 3), ((-1, -1, -2), 3)],
)
def test_best_checkpoint_has_the_highest_validation_elbo(
  elbos, best, tmp_path, monkeypatch
):
  _, saved = saved_steps(monkeypatch)
  values = iter(elbos)
  recipe = toy.RECIPE._replace(
    validate=lambda params: {'elbo': float(next(values))}, num_epochs=3
  )
  state = train(tmp_path, recipe)
  folder = tmp_path / 'checkpoints' / 'best'
  assert checkpoint.steps(folder) == [best]
  assert saved[-1] == best
  restored = checkpoint.restore(folder, best, state)
  expected = toy.init()
  for _ in range(best):
    expected = toy.one_step(expected)
  jax.tree.map(
    np.testing.assert_array_equal, restored.train.params, expected.train.params
  )


def with_nan_at(step):
  """Returns a recipe of which one step is not finite."""

  def steps(state, count):
    first = int(state.train.step)
    finite = not first <= step < first + count
    return toy.steps(state, count)[0], np.bool_(finite)

  def find_nonfinite(state, count):
    assert state.train.step <= step < state.train.step + count
    return NonFinite(np.int32(step), {'kl': jnp.nan, 'loss': jnp.ones(())})

  return toy.RECIPE._replace(steps=steps, find_nonfinite=find_nonfinite)


def test_nonfinite_step_stops_the_run_and_is_named(tmp_path):
  recipe = with_nan_at(4)
  wanted = (
    r'step 4: kl is nan, expected finite.*the last checkpoint is step 4\.'
  )
  with pytest.raises(UserError, match=wanted):
    train(tmp_path, recipe, checkpoint_seconds=0.0)
  # The state after it is not saved.
  assert checkpoint.steps(tmp_path / 'checkpoints')[-1] == 4
  assert max(x['step'] for x in lines(tmp_path)) == 3


def test_a_call_whose_every_metric_is_finite_names_the_parameters(tmp_path):
  none = NonFinite(np.int32(-1), {'loss': jnp.ones(())})
  recipe = with_nan_at(4)._replace(find_nonfinite=lambda state, count: none)
  wanted = 'the parameters or the state of the optimizer, expected finite'
  with pytest.raises(UserError, match=wanted):
    train(tmp_path, recipe)


def test_a_first_step_that_is_not_finite_does_not_blame_the_rate(tmp_path):
  for step, advice in (
    (0, 'No --learning_rate was applied yet'),
    (1, 'Use a smaller --learning_rate'),
  ):
    folder = tmp_path / str(step)
    folder.mkdir()
    with pytest.raises(UserError, match=advice):
      train(folder, with_nan_at(step))


def test_epoch_of_skipped_steps_only_stops_the_run(tmp_path):
  def all_skipped(state, count):
    state, finite = toy.steps(state, count)
    return state._replace(skipped=state.skipped + count), finite

  recipe = toy.RECIPE._replace(steps=all_skipped)
  with pytest.raises(UserError, match='step 3: the training elbo is nan'):
    train(tmp_path, recipe)
  assert lines(tmp_path) == []


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_nonfinite_validation_stops_the_run(value, tmp_path):
  validate = lambda params: {'elbo': -1.0, 'kl': value}
  with pytest.raises(UserError, match=f'the validation kl is {value}'):
    train(tmp_path, toy.RECIPE._replace(validate=validate))
  assert lines(tmp_path) == []


def test_calls_end_within_a_block_of_examples(straight, tmp_path):
  calls = []

  def steps(state, count):
    step = int(state.train.step)
    # Blocks begin anew in each epoch: steps 0 and 1, 2, 3 and 4, 5.
    within = step % toy.STEPS_PER_EPOCH
    assert within // 2 == (within + count - 1) // 2
    calls.append(count)
    return toy.steps(state, count)

  recipe = toy.RECIPE._replace(steps=steps, steps_per_block=2)
  state = train(tmp_path, recipe, clock=lambda: 0.0)
  assert calls == [1, 1, 1, 2, 1]
  jax.tree.map(np.testing.assert_array_equal, state, straight[1])


@pytest.mark.parametrize('step', [0, 2, 4])
def test_training_data_that_cannot_be_read_lose_no_step(
  step, straight, tmp_path
):
  def steps(state, count):
    if int(state.train.step) >= step:
      raise ReadError('train-00001.npy: cannot be read')
    return toy.steps(state, 1)

  options = {'clock': toy.Clock(0.0)}
  with pytest.raises(ReadError, match=r'^train-00001\.npy: cannot be read$'):
    train(
      tmp_path, toy.RECIPE._replace(steps=steps, steps_per_block=1), **options
    )
  assert RunFolder(tmp_path).last_good().endswith(f'is step {step}')
  train(tmp_path, **options)
  assert arrays(tmp_path) == arrays(straight[0])
  assert lines(tmp_path) == lines(straight[0])


def test_steps_per_call_follow_the_time_of_the_last_call():
  calls = StepsPerCall()
  assert calls.next(100) == 1
  for expected in (2, 4, 8, 16):
    calls.update(expected // 2, 1e-3)
    assert calls.next(100) == expected
  assert calls.next(3) == 3
  calls.update(16, 1.5)
  assert calls.next(100) == 3
  calls.update(3, 100.0)
  assert calls.next(100) == 1


def test_throughput_is_examples_per_second_of_this_process(tmp_path):
  throughput = Throughput(toy.Clock(2.0))
  throughput.add(30)
  throughput.add(10)
  assert throughput.rate == 20.0
  train(tmp_path, clock=toy.Clock(0.01))
  records = logger.read_metrics(tmp_path / 'metrics.jsonl')
  assert records[0]['examples_per_second'] > 0


def test_progress_is_printed_per_epoch(tmp_path, capsys):
  train(tmp_path)
  printed = capsys.readouterr().out.splitlines()
  assert printed[0].startswith('epoch    1/2  train ELBO -')
  assert ' validation ELBO -' in printed[0]
  assert printed[0].endswith(' examples/s')
