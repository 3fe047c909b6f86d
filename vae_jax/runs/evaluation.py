"""The command `evaluate`: measures a trained run on a split.

Its record, figures and page have a folder of their own in `evaluations/`; the
report, metrics and figures of the run do not change.
"""

import dataclasses
from contextlib import nullcontext
from typing import Any

import jax

from vae_jax.data import Rows
from vae_jax.errors import UserError
from vae_jax.evaluate import (
  count_examples,
  describe_model,
)
from vae_jax.evaluate.dimensions import is_factorised
from vae_jax.models import Inference, LatentModel
from vae_jax.runs import compile_cache, hardware, next_steps, splits
from vae_jax.runs.checks import check_run
from vae_jax.runs.config import EvaluateConfig
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.record import Record
from vae_jax.runs.report import build, many_seeds
from vae_jax.runs.report.trained_run import TrainedRun
from vae_jax.runs.reported import describe_parameters, is_raw
from vae_jax.runs.restore import Restored, restore_model
from vae_jax.runs.switches import measure_more
from vae_jax.training import seeds
from vae_jax.types import Params


# A run moves its own data on purpose, under a guard for other code too.
@jax.transfer_guard('allow')
def evaluate(
  options: EvaluateConfig, *, model: LatentModel | None = None
) -> dict[str, Any]:
  """Measures a trained run on a split; prints, logs and draws.

  Writes `evaluations/<name>/` in the folder of the run, where the name states
  split, step, K and the options that change the numbers, and links its page
  from report.html.

  Args:
    options: options of the command.
    model: the model, where the run was trained with one from Python.

  Returns:
    The metrics, as in metrics.jsonl of the evaluation.

  Raises:
    UserError: no run in the folder, no good checkpoint, no data, or no
      `model`.
  """
  with hardware.ready(options) as machine:
    compile_cache.enable(options.compile_cache)
    machine.compare(dataclasses.asdict(options))
    return _claim(options, machine, model)


def _claim(
  options: EvaluateConfig,
  machine: hardware.Hardware,
  model: LatentModel | None,
) -> dict[str, Any]:
  """Evaluates the folder, which process 0 claims and every process reads."""
  folder = RunFolder.find(options.workdir)
  record = folder.read_record(
    data_dir=options.data_dir, dataset=options.dataset
  )
  if options.dataset and record.data_digests is None:
    print(f'warning: {folder.path} has no digest of its data to compare with')
  with folder.claim() if machine.processes.is_first else nullcontext():
    return _evaluate(options, folder, record, machine, model)


def _load_split(options: EvaluateConfig, record: Record) -> Any:
  """Returns the split as stored, and its preprocessed examples."""
  return splits.load_split(
    record.config,
    options.split,
    record.data_digests,
    num_examples=options.num_examples,
    statistics=record.statistics,
    condition=record.condition,
  )


def _load_train(options: EvaluateConfig, record: Record) -> Rows | None:
  """Returns the training split as stored; None where it is evaluated."""
  if options.split == 'train':
    return None
  whole = dataclasses.replace(options, split='train', num_examples=0)
  return _load_split(whole, record)[0]


def _evaluate(
  options: EvaluateConfig,
  folder: RunFolder,
  record: Record,
  machine: hardware.Hardware,
  model: LatentModel | None,
) -> dict[str, Any]:
  stored, x = _load_split(options, record)
  found = restore_model(
    folder,
    record,
    stored.x.shape[1:],
    checkpoint=options.checkpoint,
    parameters=options.parameters,
    model=model,
  )
  machine.compare({'checkpoint': found.step})
  _check_switches(options, found.model, _one(record, found), x)
  if options.check:
    train = _load_train(options, record)
    check_run(found.model, _one(record, found), x, stored, train)
  run = TrainedRun(
    folder=folder,
    record=record,
    model=found.model,
    params=found.params,
    step=found.step,
    epoch=found.epoch,
    parameters=found.parameters,
    split=options.split,
    stored=stored,
    x=x,
    is_whole=not options.num_examples,
    evaluation=name_of(
      options, found.step, is_raw=is_raw(record.config, found.parameters)
    ),
    draws_figures=options.report == 'full',
    **machine.sharing(),
  )
  metrics, paths = many_seeds.report(
    run,
    f'{_title(run)}, on {machine.words}',
    num_samples=options.num_samples,
    measure_more=lambda run, latents: measure_more(options, run, latents),
  )
  print(f'Files in {run.place}: ' + '  '.join(build.names(run, paths)))
  print(next_steps.describe('evaluate', folder.path, run.place))
  return metrics


def _one(record: Record, found: Restored) -> Params:
  """Returns parameters of the shapes of one model."""
  if record.config.run.num_seeds > 1:
    return seeds.take_one(found.params, 0)
  return found.params


def _title(run: TrainedRun) -> str:
  """Returns which parameters are measured on which examples."""
  return (
    f'{run.folder.path} at step {run.step} (epoch {run.epoch})'
    f'{describe_parameters(run.config, run.parameters)}, {len(run.stored.x)} '
    f'{run.split} examples of {run.config.data.dataset}'
  )


def name_of(options: EvaluateConfig, step: int, *, is_raw: bool = False) -> str:
  """Returns the name of an evaluation: all on which its numbers depend.

  Args:
    options: options of the command.
    step: step of the checkpoint.
    is_raw: whether the parameters are raw in a run with a moving average.
  """
  parts = [options.split]
  if is_raw:
    parts.append('raw')
  if options.num_examples:
    parts.append(f'first{options.num_examples}')
  parts += [f'step{step}', f'k{options.num_samples}']
  if options.dead_units:
    parts.append('dead_units')
  if options.gaps:
    parts.append(f'gaps{options.num_gap_examples}')
  if options.calibration:
    parts.append(f'calibration{options.num_simulations}')
  if options.sandwich:
    parts.append(
      f'sandwich{options.num_sandwich_examples}x{options.num_chains}'
      f'x{options.num_temperatures}'
    )
  return '-'.join(parts)


def _check_switches(
  options: EvaluateConfig, model: LatentModel, params: Params, x: Any
) -> None:
  """Raises `UserError` at a measurement that q or p(z) does not admit."""

  def facts(inference: Inference) -> list[tuple[str, bool, bool]]:
    of = {'posterior': inference.posterior, 'prior': inference.prior}
    return [
      (f'the {role} {q.name}', is_factorised(q), not q.is_discrete)
      for role, q in of.items()
    ]

  if options.dead_units and count_examples(x) < 2:
    raise UserError(
      '--dead_units: got one example, expected two or more, as a unit is dead '
      'if its posterior mean does not vary. Use more --num_examples'
    )
  if options.calibration and options.num_samples < 25:
    raise UserError(
      f'--num_samples: got {options.num_samples}, expected at least 25, from '
      'which --calibration fits the tail of the weights. Use more'
    )
  for name, factorised, continuous in describe_model(facts, model, params, x):
    for flag, is_given, is_admitted, expected in (
      ('dead_units', options.dead_units, factorised, 'independent units'),
      ('gaps', options.gaps, continuous, 'a continuous z'),
      ('sandwich', options.sandwich, continuous, 'a continuous z'),
    ):
      if is_given and not is_admitted:
        raise UserError(
          f'--{flag}: got {name}, expected one with {expected}. Leave '
          f'--{flag} out'
        )
