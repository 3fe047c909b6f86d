"""A training run: what it is made of, and how it is kept on the disk."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax import checkpoint, data, logger, memory, workdir
from vae_jax.config import Config
from vae_jax.epoch import Bad, RunKeys, RunState, init_run_state, make_steps
from vae_jax.errors import UserError
from vae_jax.evaluate import evaluation_keys, make_evaluate_elbo
from vae_jax.lab import monitor
from vae_jax.model import VAE, make_vae
from vae_jax.objectives import make_loss, make_refit
from vae_jax.optimizer import make_loss_schedules, make_optimizer
from vae_jax.train_step import init_train_state, make_train_step
from vae_jax.types import Array, Key, Params

Init = Callable[[], RunState]
Steps = Callable[[RunState, int], tuple[RunState, Bad]]
Prepare = Callable[[Key, Array], Array]

# They are counted in 32 bits.
_MOST_STEPS = 2**31 - 1


class Run(NamedTuple):
  """What stays the same from the first step to the last."""

  config: Config
  folder: pathlib.Path
  vae: VAE
  init: Init
  steps: Steps
  validate: Callable[[Params], dict[str, float]]
  monitor: Callable[[Params], dict[str, float]]
  num_examples: int
  steps_per_epoch: int

  @property
  def checkpoints(self) -> pathlib.Path:
    """The folder of the newest checkpoints."""
    return self.folder / workdir.CHECKPOINTS

  @property
  def metrics(self) -> logger.MetricsLogger:
    """Writes metrics.jsonl."""
    return logger.MetricsLogger(self.folder / workdir.METRICS)


def make_run(config: Config, folder: pathlib.Path) -> Run:
  """Loads the training data and builds the functions that consume it.

  Raises:
    UserError: data that do not serve, or a model that no memory holds.
  """
  train_split, validation = data.load_train(
    config.dataset,
    data_dir=config.data_dir,
    num_validation=config.num_validation,
  )
  images = train_split.images
  steps_per_epoch = _steps_per_epoch(config, len(images))
  prepare = data.make_prepare(config, images)
  vae = make_vae(config, images.shape[1:], data_mean=data.mean_example(images))
  memory.check_fits(config, vae, images.shape[1:])
  held_out = jnp.asarray(
    data.prepare_once(prepare, evaluation_keys().binarise, validation.images)
  )
  few = held_out[: config.batch_size].astype(jnp.float32)
  evaluate_elbo = make_evaluate_elbo(vae)
  measure_gradients = monitor.make_monitor(config, vae, few)
  init, steps = make_training(config, vae, prepare, jnp.asarray(images))
  return Run(
    config=config,
    folder=folder,
    vae=vae,
    init=init,
    steps=steps,
    validate=lambda params: _means(
      evaluate_elbo(evaluation_keys().elbo, params, held_out)
    ),
    monitor=lambda params: measure_gradients(
      evaluation_keys().gradients, params
    ),
    num_examples=len(images),
    steps_per_epoch=steps_per_epoch,
  )


def _steps_per_epoch(config: Config, num_examples: int) -> int:
  """Raises `UserError` where there are none, or too many in all."""
  if config.batch_size > num_examples:
    raise UserError(
      f'--batch_size={config.batch_size}: the training set of '
      f'{config.dataset} has {num_examples} images'
    )
  count = num_examples // config.batch_size
  if config.num_epochs * count > _MOST_STEPS:
    raise UserError(
      f'--num_epochs={config.num_epochs}: are {config.num_epochs * count} '
      f'steps, {_MOST_STEPS} are the most'
    )
  return count


def make_training(
  config: Config, vae: VAE, prepare: Prepare, images: Array
) -> tuple[Init, Steps]:
  """Makes the first state and what takes it on, over resident images."""
  steps_per_epoch = len(images) // config.batch_size
  optimizer = make_optimizer(config, steps_per_epoch)
  init_key, order_key, train_key = jax.random.split(
    jax.random.key(config.seed), 3
  )
  step = make_train_step(
    make_loss(config, vae),
    optimizer,
    schedules=make_loss_schedules(config, steps_per_epoch),
    refit=make_refit(config, vae),
  )
  skip = config.on_nonfinite == 'skip'
  steps = make_steps(step, prepare, config.batch_size, skip_nonfinite=skip)
  keys = RunKeys(order_key, train_key)

  def init() -> RunState:
    train = init_train_state(vae.init(init_key), optimizer)
    batch = jax.eval_shape(prepare, train_key, images[: config.batch_size])
    _, metrics = jax.eval_shape(step, train_key, train, batch)
    return init_run_state(train, metrics)

  return init, lambda state, count: steps(keys, state, images, count)


def _means(terms: Any) -> dict[str, float]:
  return {name: float(jnp.mean(x)) for name, x in terms._asdict().items()}


def start(run: Run) -> RunState:
  """Returns the state before the first step, which is on the disk."""
  workdir.write_config(run.folder, run.config)
  run.metrics.rewind(-1)
  state = run.init()
  save(run, state)
  return state


def restore(run: Run) -> RunState:
  """Returns the newest good state; the metrics tell of no more than it.

  Raises:
    CheckpointError: there is none.
  """
  target = jax.eval_shape(run.init)
  step, state = checkpoint.restore_latest(run.checkpoints, target)
  # An epoch whose steps are done is told of when it is finished.
  is_told = step == int(state.epoch) * run.steps_per_epoch
  run.metrics.rewind(step if is_told else step - 1)
  print(f'going on from step {step}', flush=True)
  return state


def save(run: Run, state: RunState, best: RunState | None = None) -> None:
  """Writes a checkpoint of the state, and of the best one if it is new.

  Raises:
    UserError: the disk refuses; says which checkpoints are good.
  """
  step = int(state.train.step)
  try:
    # The checkpoint must not know of a line that a power cut can take.
    run.metrics.sync()
    if best is not None:
      folder = run.checkpoints / workdir.BEST
      checkpoint.save(folder, int(best.train.step), best, keep=1)
    keep = run.config.keep_checkpoints
    checkpoint.save(run.checkpoints, step, state, keep=keep)
  except OSError as error:
    raise UserError(
      f'{run.checkpoints}: step {step} cannot be saved ({error.strerror}); '
      f'{last_good(run)}. The same command goes on from it'
    ) from None


def last_good(run: Run) -> str:
  """Says which checkpoint a run would go on from."""
  try:
    saved = checkpoint.steps(run.checkpoints)
  except (OSError, UserError):
    saved = []
  good = f'that of step {saved[-1]}' if saved else 'none'
  return f'the last good checkpoint is {good}'
