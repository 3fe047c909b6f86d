"""Training from the flags to the report: the one Python loop."""

import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax import (
  checkpoint,
  data,
  devices,
  logger,
  outcome,
  report,
  workdir,
)
from vae_jax.config import Config
from vae_jax.errors import UserError
from vae_jax.evaluate import evaluation_keys, make_evaluate_elbo
from vae_jax.lab import monitor
from vae_jax.model import VAE, make_vae
from vae_jax.objectives import (
  bound_name,
  describe,
  make_loss,
  make_refit,
)
from vae_jax.optimizer import Optimizer, make_loss_schedules, make_optimizer
from vae_jax.train_step import (
  RunKeys,
  StepsInfo,
  TrainState,
  init_train_state,
  make_train_step,
  make_train_steps,
)

# Steps of one compiled call: the bar moves several times a second.
_STEPS_PER_CALL = 500
_SECONDS_BETWEEN_CHECKPOINTS = 10.0


class _Run(NamedTuple):
  """What stays the same from the first step to the last."""

  config: Config
  folder: pathlib.Path
  vae: VAE
  init: Callable[[], TrainState]
  steps: Callable[[TrainState, int], tuple[TrainState, StepsInfo]]
  validate: Callable[[Any], dict[str, float]]
  monitor: Callable[[Any], dict[str, float]]
  num_examples: int
  steps_per_epoch: int

  @property
  def checkpoints(self) -> pathlib.Path:
    return self.folder / workdir.CHECKPOINTS

  @property
  def metrics(self) -> logger.MetricsLogger:
    return logger.MetricsLogger(self.folder / workdir.METRICS)


def train(config: Config, folder: str = '') -> dict[str, Any]:
  """Trains a VAE, or goes on with it, and reports on the test split.

  Args:
    config: every option.
    folder: the workdir; '' for `config.workdir`, or else runs/<dataset>.

  Returns:
    The test metrics, as `report.measure` names them.

  Raises:
    UserError: options, data or folder that do not serve, or a loss that is
      not finite.
  """
  device = devices.select(config.platform)
  data.check_exists(config.dataset, config.data_dir)
  run = _make_run(config, workdir.create(folder or _workdir(config)))
  state = _restore(run) if checkpoint.steps(run.checkpoints) else _start(run)
  print(
    f'{config.dataset}: {run.num_examples} training examples, '
    f'{config.num_epochs} epochs of {run.steps_per_epoch} steps, on {device}, '
    f'into {run.folder}',
    describe(config),
    sep='\n',
    flush=True,
  )
  started = time.monotonic()
  state = _train_epochs(run, state)
  return _finish(run, state, time.monotonic() - started)


def _workdir(config: Config) -> str:
  return config.workdir or workdir.default(config.dataset)


def _make_run(config: Config, folder: pathlib.Path) -> _Run:
  """Loads the training data and builds the functions that consume it."""
  if checkpoint.steps(folder / workdir.CHECKPOINTS):
    workdir.check_same_run(folder, config)
  train_split, validation = data.load_train(
    config.dataset,
    data_dir=config.data_dir,
    num_validation=config.num_validation,
  )
  images = train_split.images
  if config.batch_size > len(images):
    raise UserError(
      f'--batch_size={config.batch_size}: the training set of '
      f'{config.dataset} has {len(images)} images'
    )
  prepare = data.make_prepare(config, images)
  init_key, order_key, train_key = jax.random.split(
    jax.random.key(config.seed), 3
  )
  vae = make_vae(config, images.shape[1:], data_mean=data.mean_example(images))
  steps_per_epoch = len(images) // config.batch_size
  optimizer = make_optimizer(config, steps_per_epoch)
  step = _make_step(config, vae, optimizer, steps_per_epoch)
  steps = make_train_steps(step, prepare, config.batch_size)
  keys, resident = RunKeys(order_key, train_key), jnp.asarray(images)
  evaluate_elbo = make_evaluate_elbo(vae)
  held_out = jnp.asarray(
    data.prepare_once(prepare, evaluation_keys().binarise, validation.images)
  )
  few = held_out[: config.batch_size].astype(jnp.float32)
  measure_gradients = monitor.make_monitor(config, vae, few)
  return _Run(
    config=config,
    folder=folder,
    vae=vae,
    init=lambda: init_train_state(vae.init(init_key), optimizer),
    steps=lambda state, count: steps(keys, state, resident, count),
    validate=lambda params: _means(
      evaluate_elbo(evaluation_keys().elbo, params, held_out)
    ),
    monitor=lambda params: measure_gradients(
      evaluation_keys().gradients, params
    ),
    num_examples=len(images),
    steps_per_epoch=steps_per_epoch,
  )


def _make_step(
  config: Config, vae: VAE, optimizer: Optimizer, steps_per_epoch: int
) -> Callable[..., Any]:
  return make_train_step(
    make_loss(config, vae),
    optimizer,
    schedules=make_loss_schedules(config, steps_per_epoch),
    refit=make_refit(config, vae),
  )


def _means(terms: Any) -> dict[str, float]:
  return {name: float(jnp.mean(x)) for name, x in terms._asdict().items()}


def _start(run: _Run) -> TrainState:
  workdir.write_config(run.folder, run.config)
  run.metrics.rewind(-1)
  return run.init()


def _restore(run: _Run) -> TrainState:
  step, state = checkpoint.restore_latest(
    run.checkpoints, report.abstract_state(run.config, run.vae)
  )
  run.metrics.rewind(step)
  print(f'going on from step {step}', flush=True)
  return state


def _train_epochs(run: _Run, state: TrainState) -> TrainState:
  config = run.config
  per_epoch = run.steps_per_epoch * config.batch_size
  first = int(state.step) // run.steps_per_epoch
  saved = time.monotonic()
  total, done = config.num_epochs * per_epoch, first * per_epoch
  with logger.Progress(total, done, 'training') as progress:
    for epoch in range(first + 1, config.num_epochs + 1):
      started = time.monotonic()
      state, metrics = _train_epoch(run, state, progress)
      rate = per_epoch / (time.monotonic() - started)
      validation = run.validate(state.params)
      step = int(state.step)
      run.metrics.write(
        step, epoch, 'train', metrics | {'examples_per_second': rate}
      )
      run.metrics.write(step, epoch, 'validation', validation)
      if config.monitor_gradients and monitor.is_due(epoch, config.num_epochs):
        run.metrics.write(step, epoch, monitor.SPLIT, run.monitor(state.params))
      last = epoch == config.num_epochs
      if last or time.monotonic() - saved > _SECONDS_BETWEEN_CHECKPOINTS:
        checkpoint.save(run.checkpoints, step, state)
        saved = time.monotonic()
      progress.line(
        f'epoch {epoch:4d}/{config.num_epochs}  '
        f'train {_bound(config, metrics)}  '
        f'validation ELBO {validation["elbo"]:.3f}  {rate:.0f} examples/s'
      )
  return state


def _train_epoch(
  run: _Run, state: TrainState, progress: logger.Progress
) -> tuple[TrainState, dict[str, float]]:
  """Runs one epoch; returns the means of its metrics."""
  sums: dict[str, float] = {}
  left = run.steps_per_epoch
  while left:
    count = min(left, _STEPS_PER_CALL)
    state, info = run.steps(state, count)
    if int(info.bad_step) >= 0:
      saved = checkpoint.steps(run.checkpoints)
      good = f'that of step {saved[-1]}' if saved else 'none'
      raise UserError(
        f'the loss or its gradient is not finite at step {info.bad_step}; '
        f'the last good checkpoint is {good}. A smaller --learning_rate may '
        'help'
      )
    left -= count
    metrics = {name: float(value) for name, value in info.metrics.items()}
    for name, value in metrics.items():
      sums[name] = sums.get(name, 0.0) + value * count
    progress.advance(count * run.config.batch_size, _bound(run.config, metrics))
  return state, {name: x / run.steps_per_epoch for name, x in sums.items()}


def _bound(config: Config, metrics: dict[str, float]) -> str:
  name = bound_name(config.objective)
  return f'{name.upper()} {metrics[name]:.3f}'


def _finish(run: _Run, state: TrainState, seconds: float) -> dict[str, Any]:
  """Measures the test split, draws the figures and prints the table."""
  config = run.config
  test, prepared = report.load_test(config)
  trained = outcome.Trained(
    run.folder, config, run.vae, state.params, test, prepared
  )
  metrics = report.measure(
    run.vae, state.params, prepared, config.nll_num_samples
  )
  metrics |= report.measure_bits(config, test.images, metrics)
  metrics |= report.measure_exact(config, run.vae, state.params, prepared)
  examined = outcome.examine(trained)
  metrics |= examined.metrics
  run.metrics.write_once(int(state.step), config.num_epochs, 'test', metrics)
  title = f'Test split of {config.dataset}, {len(prepared)} examples'
  rows = [*report.rows(metrics), ('training time', f'{seconds:10.1f} s')]
  nll = report.nll_curve(metrics)
  paths = outcome.present(trained, examined, nll, title, rows)
  files = [workdir.CONFIG, workdir.METRICS, workdir.CHECKPOINTS + '/']
  names = files + [str(path.relative_to(run.folder)) for path in paths]
  print(f'Files in {run.folder}: ' + '  '.join(names))
  return metrics
