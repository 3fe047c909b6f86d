"""The training loop over a recipe of functions; knows no model and no data."""

import time
from collections.abc import Callable

import jax

from vae_jax.errors import ReadError, UserError
from vae_jax.io import logger, signals
from vae_jax.runs import early_stopping, new_run
from vae_jax.runs.finite import check_epoch
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.functions import ESTIMATOR, GRADIENTS, Recipe
from vae_jax.runs.pace import Clock, StepsPerCall, Throughput
from vae_jax.training.average import averaged_params
from vae_jax.training.epoch import RunState, finish_epoch


def start_or_resume(
  recipe: Recipe, folder: RunFolder, *, new_metrics: bool = False
) -> RunState:
  """Restores the state of the folder, or saves the one before the first step.

  Args:
    recipe: the run.
    folder: its folder.
    new_metrics: as for `RunFolder.restore`.

  Raises:
    UserError: the run has more epochs than the recipe, or there is no run
      but files that one would replace.
    CheckpointError: there are checkpoints, but no good one.
  """
  if not folder.has_checkpoint():
    new_run.check_unused(folder)
    state = recipe.init()
    folder.save(state)
    return state
  state = folder.restore(
    jax.eval_shape(recipe.init),
    recipe.steps_per_epoch,
    new_metrics=new_metrics,
  )
  if int(state.epoch) > recipe.num_epochs:
    raise UserError(
      f'{folder.path}: got --num_epochs={recipe.num_epochs}, expected '
      f'{int(state.epoch)} or more, which the run has completed. Use more'
    )
  return state


def _is_done(recipe: Recipe, state: RunState) -> bool:
  """Returns whether no step is left to take."""
  return int(state.epoch) >= recipe.num_epochs or _stops_early(recipe, state)


def _stops_early(recipe: Recipe, state: RunState) -> bool:
  return early_stopping.stops(recipe.patience, state, recipe.steps_per_epoch)


def _say_if_stopped(
  recipe: Recipe, state: RunState, bar: logger.Progress
) -> None:
  if _stops_early(recipe, state):
    bar.line(
      early_stopping.in_words(recipe.patience, state, recipe.steps_per_epoch)
    )


def _say_if_saved(
  reason: BaseException, state: RunState, bar: logger.Progress
) -> None:
  if isinstance(reason, signals.Stopped):
    step = int(state.train.step)
    bar.line(f'saved at step {step}: run the same command to resume')


def train_loop(
  recipe: Recipe,
  folder: RunFolder,
  state: RunState,
  *,
  checkpoint_seconds: float = 10.0,
  keep_checkpoints: int = 2,
  clock: Clock = time.monotonic,
) -> RunState:
  """Takes the remaining steps; logs every epoch and saves checkpoints.

  Args:
    recipe: the run.
    folder: its folder, claimed.
    state: from `start_or_resume`; donated.
    checkpoint_seconds: time between checkpoints.
    keep_checkpoints: number of newest checkpoints that stay.
    clock: returns the time in seconds.

  Returns:
    The state after the last epoch, or that of an early stop, which is saved.

  Raises:
    UserError: a step or an epoch that is not finite, or a disk that refuses.
    ReadError: training data on disk cannot be read; the state is saved.
    Stopped: a signal asked the program to end; the state is saved.
  """
  best, saved = None, clock()
  save = lambda: folder.save(state, best, keep=keep_checkpoints)
  calls, throughput = StepsPerCall(), Throughput(clock)
  total = recipe.num_epochs * recipe.steps_per_epoch * recipe.batch_size
  done = int(state.train.step) * recipe.batch_size
  with logger.Progress(total, done, 'training') as bar:
    try:
      while not _is_done(recipe, state):
        # Also without steps left: a resumed run measures with its estimator.
        _select(recipe, folder, state, bar)
        if _steps_left(recipe, state):
          left = _steps_left_in_block(recipe, state)
          count, start = recipe.agree(calls.next(left)), clock()
          # A signal waits, so that what the call computes is not lost.
          with signals.deferred():
            state = _take_steps(recipe, folder, state, count)
          calls.update(count, clock() - start)
          throughput.add(count * recipe.batch_size)
          bar.advance(count * recipe.batch_size, _note(recipe, state))
        else:
          state, numbers = _complete_epoch(
            recipe, folder, state, throughput.rate, bar
          )
          throughput = Throughput(clock)
          if state.best_step == state.train.step:
            best = state
          _call(recipe, numbers, save)
        is_last = _is_done(recipe, state)
        if is_last or clock() - saved > checkpoint_seconds:
          save()
          best, saved = None, clock()
      _say_if_stopped(recipe, state, bar)
    # An OSError: what is printed has no reader, or a line is not logged.
    except (signals.Stopped, OSError, ReadError) as reason:
      if 0 < state.train.step == state.best_step:
        best = state
      save()
      _say_if_saved(reason, state, bar)
      raise
  return state


def _steps_left(recipe: Recipe, state: RunState) -> int:
  """Returns the number of steps left in the present epoch."""
  end = (int(state.epoch) + 1) * recipe.steps_per_epoch
  return max(0, end - int(state.train.step))


def _steps_left_in_block(recipe: Recipe, state: RunState) -> int:
  """Returns how many of these have their examples in memory."""
  size = recipe.steps_per_block or recipe.steps_per_epoch
  start = int(state.epoch) * recipe.steps_per_epoch
  left = size - (int(state.train.step) - start) % size
  return min(left, _steps_left(recipe, state))


def _select(
  recipe: Recipe, folder: RunFolder, state: RunState, bar: logger.Progress
) -> None:
  """Selects the estimator of the next steps; logs and prints a choice."""
  chosen = recipe.choose(state, folder.log.read, recipe.agree)
  if chosen is None:
    return
  recipe.select(chosen.name)
  bar.line(chosen.words)
  if chosen.record:
    step, epoch = int(state.train.step), int(state.epoch)
    folder.log.write(step, epoch, ESTIMATOR, chosen.record)


def _take_steps(
  recipe: Recipe, folder: RunFolder, state: RunState, count: int
) -> RunState:
  """Takes some steps; raises `UserError` at one that is not finite."""
  after, finite = recipe.steps(state, count)
  if finite:
    return after
  bad = recipe.find_nonfinite(state, count)
  advice = 'Use a smaller --learning_rate, or --on_nonfinite=skip'
  if int(bad.step) == 0:
    advice = 'No --learning_rate was applied yet: change the model or the data'
  raise UserError(
    f'{bad}, expected finite numbers; {folder.last_good()}. {advice}'
  )


def _complete_epoch(
  recipe: Recipe,
  folder: RunFolder,
  state: RunState,
  rate: float,
  bar: logger.Progress,
) -> tuple[RunState, dict[str, float]]:
  """Validates and logs an epoch whose steps are taken; returns its numbers."""
  step, epoch = int(state.train.step), int(state.epoch) + 1
  metrics = recipe.average(state, recipe.steps_per_epoch)
  validation, elbo = _validate(recipe, state)
  check_epoch(recipe.metric, folder, step, metrics, validation)
  metrics |= recipe.measure(state) | {'examples_per_second': rate}
  log = folder.log
  log.write(step, epoch, 'train', metrics)
  log.write(step, epoch, 'validation', validation)
  if gradients := recipe.monitor(epoch, state.train.params):
    log.write(step, epoch, GRADIENTS, gradients)
  bar.line(
    f'epoch {epoch:4d}/{recipe.num_epochs}  train {_bound(recipe, metrics)}  '
    f'validation ELBO {validation["elbo"]:.3f}'
    + ('' if state.train.ema is None else f'  of the EMA {elbo:.3f}')
    + f'  {rate:.0f} examples/s'
  )
  numbers: dict[str, float] = {'step': step, 'epoch': epoch}
  for split, own in (('train', metrics), ('validation', validation)):
    numbers |= {f'{split}/{name}': float(x) for name, x in own.items()}
  return finish_epoch(state, elbo), numbers


def _call(
  recipe: Recipe, numbers: dict[str, float], save: Callable[[], None]
) -> None:
  """Calls the user's function; saves the completed epoch if it raises."""
  try:
    recipe.on_epoch(numbers)
  except Exception:
    save()
    raise


def _validate(
  recipe: Recipe, state: RunState
) -> tuple[dict[str, float], float]:
  """Returns the validation metrics, and the ELBO of the reported parameters.

  Those of the moving average, if there is one, have names with `ema_`.
  """
  params, average = state.train.params, state.train.ema
  found = recipe.validate(params)
  if average is None:
    return found, found['elbo']
  own = recipe.validate(averaged_params(average, params))
  return found | {f'ema_{name}': x for name, x in own.items()}, own['elbo']


def _note(recipe: Recipe, state: RunState) -> str:
  steps = recipe.steps_per_epoch - _steps_left(recipe, state)
  return _bound(recipe, recipe.average(state, steps))


def _bound(recipe: Recipe, metrics: dict[str, float]) -> str:
  return f'{recipe.metric.upper()} {metrics[recipe.metric]:.3f}'
