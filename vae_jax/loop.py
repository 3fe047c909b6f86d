"""Training from the flags to the report: the one Python loop."""

import math
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax import (
  checkpoint,
  data,
  devices,
  lock,
  logger,
  outcome,
  report,
  run as runs,
  signals,
  workdir,
)
from vae_jax.config import Config
from vae_jax.epoch import Bad, RunState, epoch_metrics, finish_epoch
from vae_jax.errors import UserError
from vae_jax.lab import monitor
from vae_jax.objectives import bound_name, describe
from vae_jax.run import Run

# A signal waits for the call under way, and the bar moves after it.
_SECONDS_PER_CALL = 0.3


def train(config: Config, folder: str = '') -> dict[str, Any]:
  """Trains a VAE, or goes on with it, and reports on the test split.

  Args:
    config: every option.
    folder: the workdir; '' for `config.workdir`, or else runs/<dataset>.

  Returns:
    The test metrics, as `report.measure` names them.

  Raises:
    UserError: options, data or folder that do not serve, or a step that is
      not finite.
    Stopped: a signal came, and the state is saved.
  """
  device = devices.select(config.platform)
  data.check_exists(config.dataset, config.data_dir)
  path = workdir.create(folder or _workdir(config))
  with lock.claim(path):
    run, state = _begin(config, path)
    print(
      f'{config.dataset}: {run.num_examples} training examples, '
      f'{config.num_epochs} epochs of {run.steps_per_epoch} steps, on '
      f'{device}, into {run.folder}',
      describe(config),
      sep='\n',
      flush=True,
    )
    started = time.monotonic()
    state = _train(run, state)
    return _finish(run, state, time.monotonic() - started)


def _workdir(config: Config) -> str:
  return config.workdir or workdir.default(config.dataset)


def _begin(config: Config, folder: pathlib.Path) -> tuple[Run, RunState]:
  """Starts the run of the folder, or goes on with it."""
  if not checkpoint.steps(folder / workdir.CHECKPOINTS):
    run = runs.make_run(config, folder)
    return run, runs.start(run)
  changed = workdir.check_same_run(folder, config)
  for name, old in changed.items():
    print(f'{name} was {old}, is {getattr(config, name)}')
  for difference in workdir.other_versions(folder):
    print(f'warning: {difference}: the numbers may differ in the last digits')
  run = runs.make_run(config, folder)
  state = runs.restore(run)
  done = int(state.epoch)
  if done > config.num_epochs:
    raise UserError(f'{folder}: has trained {done} epochs already')
  if changed:
    workdir.write_config(folder, config)
  return run, state


class _Pace:
  """How many steps a call may take, by how long the last one took."""

  def __init__(self) -> None:
    self._steps = 1

  def steps(self, left: int) -> int:
    """Returns the steps of the next call, of those left in the epoch."""
    return min(self._steps, left)

  def took(self, steps: int, seconds: float) -> None:
    """Learns from a call; the first one also compiles, and tells little."""
    fitting = int(steps * _SECONDS_PER_CALL / seconds)
    self._steps = max(1, min(2 * self._steps, fitting))


class _Epoch:
  """How fast an epoch goes, in the part of it that this process sees."""

  def __init__(self) -> None:
    self._examples, self._started = 0, time.monotonic()

  def saw(self, examples: int) -> None:
    self._examples += examples

  @property
  def rate(self) -> float:
    return self._examples / (time.monotonic() - self._started)


def _train(run: Run, state: RunState) -> RunState:
  """Takes the steps that are left; saves now and then, and on a signal."""
  config, best = run.config, None
  pace, epoch, saved = _Pace(), _Epoch(), time.monotonic()
  per_epoch = run.steps_per_epoch * config.batch_size
  done = int(state.train.step) * config.batch_size
  with logger.Progress(config.num_epochs * per_epoch, done, 'training') as bar:
    try:
      while int(state.epoch) < config.num_epochs:
        if left := _steps_left(run, state):
          count, started = pace.steps(left), time.monotonic()
          # The call takes the old state's memory: never without the new one.
          with signals.held():
            state, bad = run.steps(state, count)
            _check(run, bad)
          pace.took(count, time.monotonic() - started)
          epoch.saw(count * config.batch_size)
          bar.advance(count * config.batch_size, _note(run, state))
        else:
          state = _finish_epoch(run, state, epoch.rate, bar)
          epoch = _Epoch()
          if state.best_step == state.train.step:
            best = jax.tree.map(jnp.copy, state)
        is_last = int(state.epoch) == config.num_epochs
        if is_last or time.monotonic() - saved > config.checkpoint_seconds:
          runs.save(run, state, best)
          best, saved = None, time.monotonic()
    except signals.Stopped:
      runs.save(run, state, best)
      bar.line(f'saved at step {state.train.step}: the same command goes on')
      raise
  return state


def _steps_left(run: Run, state: RunState) -> int:
  """Returns how many steps the epoch under way still has."""
  return (int(state.epoch) + 1) * run.steps_per_epoch - int(state.train.step)


def _check(run: Run, bad: Bad) -> None:
  """Raises `UserError` at a step that was not finite, unless it is skipped."""
  if int(bad.step) < 0 or run.config.on_nonfinite == 'skip':
    return
  raise UserError(
    f'step {bad.step} is not finite: {", ".join(bad.terms)}; '
    f'{runs.last_good(run)}. A smaller --learning_rate may help, or '
    '--on_nonfinite=skip'
  )


def _finish_epoch(
  run: Run, state: RunState, rate: float, bar: logger.Progress
) -> RunState:
  """Tells of an epoch whose steps are done."""
  config, params = run.config, state.train.params
  step, epoch = int(state.train.step), int(state.epoch) + 1
  metrics = epoch_metrics(state, run.steps_per_epoch)
  validation = run.validate(params)
  _check_epoch(run, step, metrics, validation)
  run.metrics.write(
    step, epoch, 'train', metrics | {'examples_per_second': rate}
  )
  run.metrics.write(step, epoch, 'validation', validation)
  if config.monitor_gradients and monitor.is_due(epoch, config.num_epochs):
    run.metrics.write(step, epoch, monitor.SPLIT, run.monitor(params))
  bar.line(
    f'epoch {epoch:4d}/{config.num_epochs}  train {_bound(config, metrics)}  '
    f'validation ELBO {validation["elbo"]:.3f}  {rate:.0f} examples/s'
  )
  return finish_epoch(state, validation['elbo'])


def _check_epoch(
  run: Run, step: int, metrics: dict[str, float], validation: dict[str, float]
) -> None:
  """Raises `UserError` where there is nothing to go on with."""
  bound = bound_name(run.config.objective)
  found = {f'the {bound} in training': metrics[bound]} | {
    f'the {name} on validation': value for name, value in validation.items()
  }
  bad = [f'{name} is {x}' for name, x in found.items() if not math.isfinite(x)]
  if bad:
    raise UserError(
      f'after step {step} {", ".join(bad)}; {runs.last_good(run)}. A smaller '
      '--learning_rate may help'
    )


def _note(run: Run, state: RunState) -> str:
  steps = run.steps_per_epoch - _steps_left(run, state)
  return _bound(run.config, epoch_metrics(state, steps))


def _bound(config: Config, metrics: dict[str, float]) -> str:
  name = bound_name(config.objective)
  return f'{name.upper()} {metrics[name]:.3f}'


def _finish(run: Run, state: RunState, seconds: float) -> dict[str, Any]:
  """Measures the test split, draws the figures and prints the table."""
  config, params = run.config, state.train.params
  test, prepared = report.load_test(config)
  trained = outcome.Trained(run.folder, config, run.vae, params, test, prepared)
  metrics = report.measure(run.vae, params, prepared, config.nll_num_samples)
  metrics |= report.measure_bits(config, test.images, metrics)
  metrics |= report.measure_exact(config, run.vae, params, prepared)
  examined = outcome.examine(trained)
  metrics |= examined.metrics
  step = int(state.train.step)
  run.metrics.write_once(step, config.num_epochs, 'test', metrics)
  title = f'Test split of {config.dataset}, {len(prepared)} examples'
  rows = [*report.rows(metrics), ('training time', f'{seconds:10.1f} s')]
  nll = report.nll_curve(metrics)
  paths = outcome.present(trained, examined, nll, title, rows)
  files = [workdir.CONFIG, workdir.METRICS, workdir.CHECKPOINTS + '/']
  names = files + [str(path.relative_to(run.folder)) for path in paths]
  print(f'Files in {run.folder}: ' + '  '.join(names))
  return metrics
