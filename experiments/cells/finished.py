"""Finished runs of cells: their test metrics, and the time they took."""

import pathlib
import re
from typing import Any, NamedTuple

import numpy as np

from experiments.cells.cell import load, start_of
from vae_jax.data import FILE_SUFFIXES
from vae_jax.errors import UserError
from vae_jax.evaluate import Estimate, estimate_mean
from vae_jax.io import logger
from vae_jax.runs import Config, RunFolder
from vae_jax.runs.folder import METRICS
from vae_jax.runs.record import Record, is_edited, was_changed
from vae_jax.runs.report.trained_run import EVALUATIONS
from vae_jax.runs.reported import resolve_checkpoint
from vae_jax.runs.seeds import metrics_of_seed, seeds_of

_GAP = 'gap_approximation'


class Finished(NamedTuple):
  """A run that completed its training and measured the test split.

  Attributes:
    seeds: seeds of the run.
    metrics: flat test metrics at the K of the cell, as in metrics.jsonl.
    gaps: flat metrics of an evaluation with `--gaps`; {} without one.
    train: training metrics of the epoch of the reported parameters.
    epochs: epochs of the training.
    seconds: duration of the gradient steps of all seeds; None if unknown.
    revision: git revision at the start of the run; '' if unknown.
  """

  seeds: range
  metrics: dict[str, Any]
  gaps: dict[str, Any]
  train: dict[str, Any]
  epochs: int
  seconds: float | None
  revision: str


class Progress(NamedTuple):
  """State of a run that is not finished.

  Attributes:
    epoch: number of completed epochs.
    seconds_per_epoch: mean duration of an epoch per seed; None before the
      first is completed.
  """

  epoch: int
  seconds_per_epoch: float | None


def estimate(metrics: dict[str, Any], name: str, seeds: range) -> Estimate:
  """Returns a metric with its standard error, over seeds or over examples.

  Args:
    metrics: flat metrics of a run.
    name: name of the metric.
    seeds: seeds of the run; of one, the error is that over examples, and nan
      for a metric without one.
  """
  if len(seeds) > 1:
    each = [metrics_of_seed(metrics, seed)[name] for seed in seeds]
    return estimate_mean(np.array(each, np.float64))
  error = metrics.get(f'{name}_standard_error')
  return Estimate(
    float(metrics[name]), float('nan') if error is None else error
  )


def same_data(stored: str, own: str) -> bool:
  """Returns whether a run may have the data of a cell, a set or any file."""
  return stored == own or all(x.endswith(FILE_SUFFIXES) for x in (stored, own))


def check_options(folder: RunFolder, config: Config) -> None:
  """Raises `UserError` unless a run has the options of a cell.

  The number of epochs and the patience may be smaller, so that the run can be
  resumed; options on which no number depends may differ.
  """
  record = folder.read_record()
  stored = record.config
  folder.check_same_run(Record(config, None))
  reason = ''
  if is_edited(folder.config):
    reason = 'a config.json that was edited'
  elif was_changed(folder.config):
    reason = 'a run that was resumed with other options'
  # `train` allows another name of the same data; only a file has several.
  elif not same_data(stored.data.dataset, config.data.dataset):
    reason = f'--dataset={stored.data.dataset}'
  elif not _is_started_well(record, config):
    reason = f'a start at {record.warm_start}'
  if reason:
    raise UserError(
      f'{folder.path}: got {reason}, expected the options of the flagfile. Use '
      'another --workdir'
    )


def _is_started_well(record: Record, config: Config) -> bool:
  """Returns whether a run starts at the end of the cell that it names."""
  start = start_of(config)
  if not start:
    return True
  epochs = load(start).training.optimizer.num_epochs
  return f'(epoch {epochs})' in record.warm_start


def options_of(path: pathlib.Path, config: Config) -> Config:
  """Returns the options of a cell with those of the run in a folder that vary.

  They are seeds, file, and the folder of the cell whose parameters it starts
  from. Those of the cell, where there is no run.
  """
  folder = RunFolder(path)
  if not folder.config.exists():
    return config
  stored = folder.read_record().config
  changed: dict[str, Any] = {'num_seeds': stored.run.num_seeds}
  if same_data(stored.data.dataset, config.data.dataset):
    changed['dataset'] = stored.data.dataset
  if start_of(stored) == start_of(config):
    changed['warm_start'] = stored.run.warm_start
  return config.replace(**changed)


def read(path: pathlib.Path, config: Config) -> Finished | None:
  """Reads a run; None if it is not finished, or not measured at the cell's K.

  Args:
    path: folder of the run.
    config: options of the cell, with the seeds and the data set of the run.

  Raises:
    UserError: the run has other options, or a damaged file.
  """
  folder = RunFolder(path)
  if not folder.config.exists():
    return None
  check_options(folder, config)
  records = folder.log.read()
  trained = [line for line in records if line['split'] == 'train']
  step = _final_step(folder, config, trained)
  if step is None:
    return None
  count = config.run.nll_num_samples
  evaluations = _evaluations(path, step)
  tests = [
    line
    for line in (*records, *evaluations.get(count, ()))
    if line['split'] == 'test'
    and line['step'] == step
    and line.get('nll_num_samples') == count
  ]
  if not tests or tests[-1].get('nll') is None:
    return None
  gaps = [x for each in evaluations.values() for x in each if _GAP in x]
  [own] = [line for line in trained if line['step'] == step]
  return Finished(
    seeds=seeds_of(config),
    metrics=tests[-1],
    gaps=max(gaps, key=lambda line: line['gap_examples'], default={}),
    train=own,
    epochs=trained[-1]['epoch'],
    seconds=_seconds(trained, config.optimizer.batch_size),
    revision=folder.read_versions()['revision'],
  )


def progress(path: pathlib.Path, batch_size: int) -> Progress | None:
  """Returns the progress of a run; None if it has not started."""
  folder = RunFolder(path)
  if not folder.config.exists():
    return None
  trained = [line for line in folder.log.read() if line['split'] == 'train']
  if not trained:
    return Progress(0, None)
  epochs, seconds = trained[-1]['epoch'], _seconds(trained, batch_size)
  if seconds is None:
    return Progress(epochs, None)
  count = folder.read_record().config.run.num_seeds
  return Progress(epochs, seconds / epochs / count)


def _final_step(
  folder: RunFolder, config: Config, trained: list[dict[str, Any]]
) -> int | None:
  """Returns the step on which a complete run reports; None if incomplete."""
  if not trained:
    return None
  last, options = trained[-1], config.optimizer
  is_complete = last['epoch'] >= options.num_epochs
  if resolve_checkpoint(config) == 'latest':
    return last['step'] if is_complete else None
  step = folder.best_step()
  epochs = [line['epoch'] for line in trained if line['step'] == step]
  if not epochs:
    return None
  waited = last['epoch'] - epochs[0] >= options.patience
  return step if is_complete or waited else None


def _evaluations(path: pathlib.Path, step: int) -> dict[int, list[Any]]:
  """Returns K -> metrics of the evaluations of the whole test split."""
  found: dict[int, list[Any]] = {}
  for file in sorted((path / EVALUATIONS).glob(f'*/{METRICS}')):
    name = re.match(rf'test-step{step}-k(\d+)(?:-|$)', file.parent.name)
    if name:
      lines = logger.read_metrics(file)
      found.setdefault(int(name[1]), []).extend(lines)
  return found


def _seconds(trained: list[dict[str, Any]], batch_size: int) -> float | None:
  """Returns the duration of the gradient steps, from the logged pace.

  Each epoch is counted once, also in a run that was stopped and resumed. A run
  that resumes after the last step of an epoch logs no pace of it: the epoch
  then counts with the mean pace of the others.
  """
  known, timed, before = 0.0, 0, 0
  for line in trained:
    if rate := line.get('examples_per_second'):
      known += (line['step'] - before) * batch_size / rate
      timed += line['step'] - before
    before = line['step']
  return known * before / timed if timed else None
