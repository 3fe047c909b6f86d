"""A model with the parameters of a checkpoint."""

from typing import Any, NamedTuple

import jax

from vae_jax.errors import UserError
from vae_jax.models import LatentModel
from vae_jax.models.make import make_vae
from vae_jax.runs.config import Config
from vae_jax.runs.examples import facts_of
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.record import Record
from vae_jax.runs.reported import (
  EMA,
  resolve_checkpoint,
  resolve_parameters,
)
from vae_jax.training.average import average_of
from vae_jax.training.seeds import stack_trees
from vae_jax.types import Params


class Restored(NamedTuple):
  """A model with the parameters of one checkpoint.

  Attributes:
    model: the model.
    params: its parameters; stacked, `[S, ...]`, in a run of many seeds.
    step: gradient steps after which they were saved.
    epoch: epochs completed by then.
    parameters: 'raw', or 'ema' for their moving average.
  """

  model: LatentModel
  params: Params
  step: int
  epoch: int
  parameters: str = 'raw'


def restore_model(
  folder: RunFolder,
  record: Record,
  data_shape: tuple[int, ...],
  *,
  checkpoint: str = 'auto',
  parameters: str = 'auto',
  model: LatentModel | None = None,
) -> Restored:
  """Makes the model of a run and restores its parameters.

  Args:
    folder: folder of the run.
    record: its record.
    data_shape: shape of one x.
    checkpoint: 'latest' or 'best'; 'auto' for that of the run's report, which
      is the best one in a run with `--patience`.
    parameters: 'raw', or 'ema' for their moving average; 'auto' for those of
      the run's report, the average in a run with `--ema`.
    model: the model, where the run was trained with one from Python.

  Raises:
    UserError: `model` is missing, or given for a run built from options; or
      the run has no moving average.
    CheckpointError: no checkpoint of this model.
  """
  if record.custom_model and model is None:
    raise UserError(
      f'{folder.path}: got no model=, expected model={record.custom_model}, '
      'which is not made from options. Give it as model= from Python'
    )
  if model is None:
    facts: dict[str, Any] = facts_of(record.config, record.condition)
    model = make_vae(record.config.model, data_shape, **facts)
  checkpoint = resolve_checkpoint(record.config, checkpoint)
  parameters = resolve_parameters(record.config, parameters)
  target = jax.eval_shape(model.init, jax.random.key(0))
  if (count := record.config.run.num_seeds) > 1:
    target = jax.eval_shape(lambda one: stack_trees([one] * count), target)
  average = average_of(target, count) if parameters == EMA else None
  step, params = folder.restore_params(target, checkpoint, average=average)
  epoch = folder.epoch_of(step, checkpoint)
  return Restored(model, params, step, epoch, parameters)


def report_metrics(folder: RunFolder, config: Config) -> dict[str, Any] | None:
  """Returns the test metrics of the report; None if it has not been made.

  A longer training may have no report yet, or want none.
  """
  records = folder.log.read()
  if resolve_checkpoint(config) == 'best':
    last = folder.best_step()
  else:
    last = max((line['step'] for line in records), default=0)
  tests = [x for x in records if x['split'] == 'test' and x['step'] == last]
  return tests[-1] if tests else None
