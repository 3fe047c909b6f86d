"""Measurements in the folder of a run: its report and its evaluations."""

import pathlib
import zipfile
from typing import Any, NamedTuple

import numpy as np

from vae_jax.errors import UserError, command
from vae_jax.io import checkpoint, files, logger
from vae_jax.models import LIKELIHOODS
from vae_jax.runs.folder import METRICS, RunFolder
from vae_jax.runs.record import Record
from vae_jax.runs.report.build import PER_EXAMPLE
from vae_jax.runs.report.trained_run import EVALUATIONS
from vae_jax.runs.reported import resolve_checkpoint
from vae_jax.runs.restore import report_metrics


class Key(NamedTuple):
  """All that two measurements must share, to be of the same quantity."""

  split: str
  num_examples: int
  num_samples: int


class Measurement(NamedTuple):
  """Numbers of a run.

  Attributes:
    metrics: as in metrics.jsonl.
    per_example: file of the numbers of each example; None without it.
  """

  metrics: dict[str, Any]
  per_example: pathlib.Path | None = None

  @property
  def num_samples(self) -> int:
    """Returns K of the NLL."""
    return int(self.metrics['nll_num_samples'])


class MeasuredRun(NamedTuple):
  """A run and its measurements of the reported parameters.

  Attributes:
    name: its folder, as given.
    record: its options.
    report: test metrics of the report; None before it is made.
    evaluations: measurements with the numbers of each example.
  """

  name: str
  record: Record
  report: Measurement | None
  evaluations: dict[Key, Measurement]


def read_run(name: str) -> MeasuredRun:
  """Reads the measurements of a run.

  Raises:
    UserError: no run in the folder, or a damaged one.
  """
  folder = RunFolder.find(name)
  found = folder.read_record()
  is_best = resolve_checkpoint(found.config) == 'best'
  step = folder.best_step()
  if not is_best:
    step = checkpoint.newest_good(folder.checkpoints)
  report = report_metrics(folder, found.config)
  return MeasuredRun(
    name=name,
    record=found,
    report=None if report is None else Measurement(report),
    evaluations=_evaluations(folder, found, step),
  )


def _evaluations(
  folder: RunFolder, record: Record, step: int | None
) -> dict[Key, Measurement]:
  """Returns the evaluations of the reported step and parameters."""
  found = {}
  for path in sorted((folder.path / EVALUATIONS).glob(f'*/{METRICS}')):
    # The name states split, parameters, examples, step and K, in this order.
    is_raw = path.parent.name.split('-')[1:2] == ['raw']
    numbers = path.parent / PER_EXAMPLE
    if (is_raw and record.config.optimizer.ema) or not numbers.is_file():
      continue
    for line in logger.read_metrics(path):
      if line['step'] != step or 'num_examples' not in line:
        continue
      key = Key(line['split'], line['num_examples'], line['nll_num_samples'])
      found[key] = Measurement(line, numbers)
  return found


def read_per_example(measurement: Measurement, name: str) -> np.ndarray:
  """Reads a number of each example, `[N]`, or `[S, N]` of many seeds.

  Raises:
    UserError: a damaged file, or one without this number.
  """
  path = measurement.per_example
  assert path is not None
  try:
    with files.open_to_read(path) as file, np.load(file) as arrays:
      values: np.ndarray = arrays[name]
  except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
    reason = ' '.join(str(error).split())[:200]
    raise UserError(
      f'{path}: damaged ({reason}). Run {command("evaluate")} again'
    ) from None
  return values


def quantity_of(run: MeasuredRun, split: str) -> dict[str, Any]:
  """Returns what log p(x) of a split is of: runs that differ in it differ in x.

  Args:
    run: the run.
    split: name of the split.
  """
  config = run.record.config
  digests = run.record.data_digests or {}
  return {
    'data': digests.get(split, f'unknown, of {run.name}'),
    'kind of x': LIKELIHOODS[config.model.likelihood].support,
    '--standardise': config.data.standardise,
    '--condition': config.data.condition,
    '--missing': config.data.missing,
    '--size_factor': config.model.size_factor,
  }
