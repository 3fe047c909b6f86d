"""The command `train`: from options to a trained run and its report."""

import os
import time
from collections.abc import Sequence
from typing import Any

import jax

from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.models import LatentModel
from vae_jax.runs import (
  changes,
  compile_cache,
  hardware,
  loop,
  next_steps,
  recipe,
  reported,
  seeds,
  splits,
)
from vae_jax.runs.config import Config
from vae_jax.runs.config.auto import is_auto
from vae_jax.runs.describe import describe, describe_training, name_of
from vae_jax.runs.folder import (
  CHECKPOINTS,
  CONFIG,
  METRICS,
  RunFolder,
)
from vae_jax.runs.folder_path import default_folder
from vae_jax.runs.functions import Recipe
from vae_jax.runs.on_epoch import OnEpoch, load as load_on_epoch
from vae_jax.runs.preprocess import describe_data
from vae_jax.runs.record import Record
from vae_jax.runs.report import build, many_seeds
from vae_jax.runs.report.trained_run import TrainedRun
from vae_jax.runs.warm_start import WarmStart
from vae_jax.training.epoch import RunState
from vae_jax.training.mesh import fetch, place
from vae_jax.training.optimizer import Optimizer

# Metrics and report of an earlier command may lie in the folder.
_SKIPPED = (
  'No test metrics and no report (--report=none); the same command with '
  '--report=full makes them'
)


# A run moves its own data on purpose, under a guard for other code too.
@jax.transfer_guard('allow')
def train(
  config: Config,
  *,
  folder: str | os.PathLike[str] = '',
  model: LatentModel | None = None,
  optimizer: Optimizer | None = None,
  on_epoch: OnEpoch | None = None,
) -> dict[str, Any]:
  """Trains a model, or resumes its run, and reports on the test split.

  Args:
    config: options of the run.
    folder: folder of the run; '' for `config.run.workdir`, or runs/<dataset>
      if that is '' too.
    model: any `LatentModel` over the x of the data set, in place of the one
      that `config.model` describes. Of that part, only `likelihood` is read:
      it states what kind of data the model takes, such as 'bernoulli' for
      zeros and ones.
    optimizer: an optax transformation in place of the optimizer, learning
      rate and schedule of `config.optimizer`.
    on_epoch: is called after each completed epoch, when it is logged, with a
      dict of its numbers: 'epoch', 'step', 'train/elbo', 'validation/elbo' and
      so on. It changes nothing. Its exceptions end the training, with the
      epoch saved. It replaces the function of `--on_epoch`.

  Returns:
    The test metrics, as in metrics.jsonl: of many seeds their means, and
    under `<name>_seed<number>` those of each. {} with `--report=none`.

  Raises:
    UserError: unsuitable options, data or folder, or a step that is not
      finite.
    Stopped: a signal asked the program to end; the state is saved.
  """
  with hardware.ready(config.run) as machine:
    compile_cache.enable(config.run.compile_cache)
    on_epoch = on_epoch or load_on_epoch(config.run.on_epoch)
    path = os.fspath(folder) or config.run.workdir
    path = path or default_folder(config.data.dataset)
    return _train(config, machine, path, model, optimizer, on_epoch)


def _train(
  config: Config,
  machine: hardware.Hardware,
  path: str,
  model: LatentModel | None,
  optimizer: Optimizer | None,
  on_epoch: OnEpoch | None,
) -> dict[str, Any]:
  """Trains on the devices and with the processes of the run."""
  machine.compare(config.flat())
  _check_estimator(config, model)
  data.check_exists(config.data.dataset, config.data.data_dir)
  with machine.claim(path) as run_folder:
    new = Record(
      config,
      None,
      custom_model='' if model is None else name_of(model),
      custom_optimizer=optimizer is not None,
    )
    run, record, state, loaded = _begin(
      run_folder, new, model, optimizer, machine
    )
    where = f'on {machine.words}, in {run_folder.path}'
    _introduce(record, run.recipe, where, loaded['train'].x, model)
    first, start = int(state.train.step), time.monotonic()
    parts = run.recipe._replace(agree=machine.processes.agree)
    if on_epoch is not None and machine.processes.is_first:
      parts = parts._replace(on_epoch=on_epoch)
    with machine.signals():
      state = loop.train_loop(
        parts,
        run_folder,
        state,
        checkpoint_seconds=config.run.checkpoint_seconds,
        keep_checkpoints=config.run.keep_checkpoints,
      )
    seconds = _in_words(time.monotonic() - start, first)
    state = fetch(state, machine.mesh)
    for line in run.unsettled(state.train.params):
      print(
        f'warning: {line}. Use more --num_epochs or a larger --learning_rate'
      )
    if config.run.report == 'none':
      return _skip_report(run_folder)
    chosen = reported.choose(config, run_folder, state, machine.processes)
    trained = _trained(run_folder, record, run, chosen, loaded['test'])
    return _report(trained._replace(**machine.sharing()), seconds)


def _check_estimator(config: Config, model: LatentModel | None) -> None:
  """Raises `UserError` where the candidates of a choice are not known."""
  if model is not None and is_auto(config):
    raise UserError(
      f'--estimator=auto: got the model {name_of(model)}, expected one of the '
      'options, which tell its estimators. Name an estimator; '
      'vj.choose_estimator measures them at a q(z|x)'
    )


def _introduce(
  record: Record,
  parts: Recipe,
  where: str,
  x: data.Examples,
  model: LatentModel | None,
) -> None:
  """Prints what is trained, on which data, and where."""
  config = record.config
  print(
    f'{config.data.dataset}: {parts.num_examples} training examples, '
    f'{parts.num_epochs} epochs of {parts.steps_per_epoch} steps, {where}',
    *seeds.describe(config),
    describe(config, model),
    *describe_training(config, custom=record.custom_optimizer),
    *describe_data(config, x, record.statistics, record.condition),
    sep='\n',
    flush=True,
  )


def _begin(
  folder: RunFolder,
  new: Record,
  model: LatentModel | None,
  optimizer: Optimizer | None,
  machine: hardware.Hardware,
) -> tuple[recipe.RunParts, Record, RunState, splits.Splits]:
  """Starts the run of the folder, or resumes it."""
  config, resumes = new.config, folder.has_checkpoint()
  if machine.processes.is_first:
    changes.check_resumes(config, folder.path, resumes)
  stored, changed = new, {}
  if resumes:
    stored = folder.read_record()
    for line in folder.version_warnings():
      print(f'warning: {line}: the numbers may differ in the last digits')
    changed = folder.check_same_run(new)
    for name, old in changed.items():
      print(f'{name} was {old}, is {config.flat()[name]}')
  loaded, new = _load(new, stored)
  warm = WarmStart(new, resumes=resumes)
  given: Any = {'model': model, 'optimizer': optimizer, 'mesh': machine.mesh}
  run = recipe.make_run(config, loaded, warm_start=warm.read, **given)
  record = new._replace(
    data_shape=run.data_shape, condition=run.condition, warm_start=warm.words
  )
  is_streamed = isinstance(loaded['train'].x, data.Streamed)
  machine.compare(
    {
      'dataset': record.data_digests,
      # Where `auto` depends on the memory of each machine.
      'stream': 'always' if is_streamed else 'never',
    }
  )
  if resumes and stored.data_shape not in (None, run.data_shape):
    raise UserError(
      f'--dataset={config.data.dataset}: got examples of shape '
      f'{run.data_shape}, expected {stored.data_shape} as when the run '
      'started. Use the original data, or another --workdir'
    )
  if not resumes:
    folder.write_record(record)
  state = loop.start_or_resume(
    run.recipe, folder, new_metrics=not changes.OBJECTIVE.isdisjoint(changed)
  )
  if resumes:
    listed, step = changes.to_record(stored, new, changed), state.train.step
    folder.write_record(record, resumed=True, step=int(step), changed=listed)
  state = machine.processes.broadcast(state)
  return run, record, place(state, machine.mesh), loaded


def _load(new: Record, stored: Record) -> tuple[splits.Splits, Record]:
  """Loads the splits, and adds their facts to the record of this command."""
  config = new.config
  loaded = splits.load(config, stored.data_digests)
  digests = splits.digests_of(
    loaded, is_drawn=data.is_drawn(config.data.dataset)
  )
  loaded, statistics = splits.standardised(config, loaded, stored.statistics)
  return loaded, new._replace(data_digests=digests, statistics=statistics)


def _trained(
  folder: RunFolder,
  record: Record,
  run: recipe.RunParts,
  chosen: reported.Reported,
  stored: data.Rows,
) -> TrainedRun:
  """Returns the run to be measured on its test split."""
  return TrainedRun(
    folder=folder,
    record=record,
    model=run.model,
    params=chosen.params,
    step=chosen.step,
    epoch=chosen.epoch,
    parameters=chosen.parameters,
    split='test',
    stored=stored,
    x=splits.prepare(record.config, record.condition, stored),
    draws_figures=record.config.run.report == 'full',
  )


def _in_words(seconds: float, first: int) -> str:
  """Returns the training time; that of former commands is not known."""
  return f'{seconds:10.1f} s' + (f' since step {first}' if first else '')


def _report(trained: TrainedRun, seconds: str) -> dict[str, Any]:
  """Measures the test split and presents the run."""
  config = trained.config
  metrics, paths = many_seeds.report(
    trained,
    f'Test split of {config.data.dataset}, {len(trained.stored.x)} examples'
    + reported.describe(config, trained.parameters, trained.epoch),
    num_samples=config.run.nll_num_samples,
    more_rows=[('training time', seconds)],
  )
  names = build.names(trained, paths)
  _print_files(trained.folder, [CONFIG, CHECKPOINTS + '/', *names])
  print(next_steps.describe('train', trained.folder.path))
  return metrics


def _skip_report(folder: RunFolder) -> dict[str, Any]:
  """Says that a run without report has no test metrics."""
  _print_files(folder, [CONFIG, CHECKPOINTS + '/', METRICS])
  print(_SKIPPED)
  return {}


def _print_files(folder: RunFolder, names: Sequence[str]) -> None:
  print(f'Files in {folder.path}: ' + '  '.join(names))
