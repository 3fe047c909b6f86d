"""The parameters on which a run reports: of the last or the best step, EMA."""

from typing import NamedTuple

import jax

from vae_jax.errors import UserError
from vae_jax.io.checkpoint import CheckpointError
from vae_jax.io.processes import Processes
from vae_jax.runs.config import Config
from vae_jax.runs.folder import RunFolder
from vae_jax.training.average import averaged_params
from vae_jax.training.epoch import RunState
from vae_jax.types import Params

# Values of `parameters`: those of the step, or their moving average.
RAW, EMA = 'raw', 'ema'
PARAMETERS = ('auto', RAW, EMA)
CHECKPOINTS = ('auto', 'latest', 'best')


class Reported(NamedTuple):
  """Parameters of one step of a run.

  Attributes:
    params: the parameters.
    step: gradient steps taken by then.
    epoch: epochs completed by then.
    parameters: `RAW`, or `EMA` for the moving average.
  """

  params: Params
  step: int
  epoch: int
  parameters: str


def resolve_parameters(config: Config, parameters: str = 'auto') -> str:
  """Returns which parameters `--parameters` stands for, never 'auto'.

  Raises:
    UserError: the moving average of a run that has none.
  """
  has_ema = config.optimizer.ema > 0
  if parameters == EMA and not has_ema:
    raise UserError(
      '--parameters=ema: got a run without --ema, expected one with a moving '
      'average. Leave --parameters out'
    )
  if parameters == 'auto':
    return EMA if has_ema else RAW
  return parameters


def resolve_checkpoint(config: Config, checkpoint: str = 'auto') -> str:
  """Returns which checkpoint `--checkpoint` stands for, never 'auto'."""
  if checkpoint == 'auto':
    return 'best' if config.optimizer.patience else 'latest'
  return checkpoint


def choose(
  config: Config, folder: RunFolder, state: RunState, processes: Processes
) -> Reported:
  """Returns the parameters of a completed training on which it reports.

  Args:
    config: options of the run.
    folder: its folder, which holds the best checkpoint in process 0.
    state: state after the training.
    processes: processes that take part.

  Raises:
    CheckpointError: the best checkpoint is missing or damaged.
  """
  which, train = resolve_parameters(config), state.train
  params, step, epoch = train.params, int(train.step), int(state.epoch)
  if which == EMA and train.ema is not None:
    params = averaged_params(train.ema, params)
  best_step = int(state.best_step)
  if resolve_checkpoint(config) == 'latest' or best_step == step:
    return Reported(params, step, epoch, which)
  best_epoch = epoch * best_step // step
  if processes.is_first:
    average = jax.eval_shape(lambda: train.ema) if which == EMA else None
    target = jax.eval_shape(lambda: params)
    found, params = folder.restore_params(target, 'best', average=average)
    best_epoch = folder.epoch_of(found, 'best')
    if found != best_step:
      raise CheckpointError(
        f'{folder.checkpoints}/best: got step {found}, expected {best_step}, '
        'that of the highest validation ELBO. Train the run again'
      )
  params = processes.broadcast(params)
  return Reported(params, best_step, best_epoch, which)


def is_raw(config: Config, parameters: str) -> bool:
  """Returns whether parameters are not the moving average of their run."""
  return config.optimizer.ema > 0 and parameters == RAW


def describe_parameters(config: Config, parameters: str) -> str:
  """Returns words on the parameters of a run with a moving average, or ''."""
  if not config.optimizer.ema:
    return ''
  if parameters == RAW:
    return ', raw parameters'
  return f', moving average of the parameters (EMA {config.optimizer.ema:g})'


def describe(config: Config, parameters: str, epoch: int) -> str:
  """Returns words that follow the title of a report; '' for the last step."""
  words = describe_parameters(config, parameters)
  if resolve_checkpoint(config) == 'best':
    words += f', best epoch {epoch}'
  return words
