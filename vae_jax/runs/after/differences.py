"""Differences between runs, with paired standard errors where they exist."""

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from vae_jax.errors import UserError, command
from vae_jax.evaluate import Estimate, estimate_mean
from vae_jax.runs.after.measured import (
  Key,
  MeasuredRun,
  Measurement,
  quantity_of,
  read_per_example,
)
from vae_jax.runs.seeds import seeds_of

NUMBERS = ('nll', 'elbo')
PAIRED, UNPAIRED = 'paired', 'unpaired'


class Difference(NamedTuple):
  """Difference of a number from that of the first run.

  Attributes:
    estimate: mean and standard error; None where it is not defined.
    kind: PAIRED, UNPAIRED or '' where there is none.
  """

  estimate: Estimate | None
  kind: str


class Row(NamedTuple):
  """One run of a comparison.

  Attributes:
    run: the run.
    measurement: the numbers that are compared.
    values: name -> value with its standard error.
    differences: name -> difference from the first run.
    notes: sentences on what is not subtracted, and why.
  """

  run: MeasuredRun
  measurement: Measurement
  values: dict[str, Estimate]
  differences: dict[str, Difference]
  notes: list[str]


class Comparison(NamedTuple):
  """Rows of several runs.

  Attributes:
    rows: one per run.
    key: evaluation that all runs have; None where reports are compared.
  """

  rows: list[Row]
  key: Key | None


def compare_runs(runs: Sequence[MeasuredRun]) -> Comparison:
  """Compares runs with the first of them.

  Evaluations that every run has, of the same split, examples and K, give
  paired errors; the one of the test split with most examples and K is taken.
  Otherwise the reports are compared, whose differences are unpaired.

  Raises:
    UserError: a run without test metrics.
  """
  common = set.intersection(*(set(run.evaluations) for run in runs))
  key = max(common, key=lambda k: (k.split == 'test', *k[1:]), default=None)
  split = key.split if key else 'test'
  found = [_measurement(run, key) for run in runs]
  first, *others = (
    Row(run, own, {name: _value(run, own, name) for name in NUMBERS}, {}, [])
    for run, own in zip(runs, found, strict=True)
  )
  compared = [_with_differences(first, row, split) for row in others]
  return Comparison([first, *compared], key)


def _measurement(run: MeasuredRun, key: Key | None) -> Measurement:
  if key is not None:
    return run.evaluations[key]
  if run.report is None:
    raise UserError(
      f'{run.name}: got no test metrics, expected a finished run. Run '
      f'{command("train")} with the same options to finish it'
    )
  return run.report


def _value(run: MeasuredRun, found: Measurement, name: str) -> Estimate:
  """Returns a number with its error: over examples, or over many seeds."""
  numbers = seeds_of(run.record.config)
  metrics = found.metrics
  if len(numbers) > 1:
    return estimate_mean(
      [metrics[f'{name}_seed{number}'] for number in numbers]
    )
  error = metrics.get(f'{name}_standard_error')
  return Estimate(metrics[name], math.nan if error is None else error)


def _with_differences(first: Row, row: Row, split: str) -> Row:
  """Adds the differences from the first run, or why there are none."""
  notes = []
  mine, its = quantity_of(row.run, split), quantity_of(first.run, split)
  other = [name for name in mine if mine[name] != its[name]]
  many = [len(seeds_of(each.run.record.config)) > 1 for each in (first, row)]
  if other:
    notes.append(f'not comparable with run 1: other {", ".join(other)}')
  elif many[0] != many[1]:
    notes.append('not subtracted: one seed and many have different errors')
  is_same_k = first.measurement.num_samples == row.measurement.num_samples
  if not is_same_k and not notes:
    notes.append(
      f'NLL not subtracted: K = {row.measurement.num_samples}, run 1 has K = '
      f'{first.measurement.num_samples}'
    )
  none = Difference(None, '')
  differences = {}
  for name in NUMBERS:
    is_defined = not other and many[0] == many[1]
    is_defined &= name != 'nll' or is_same_k
    differences[name] = (
      _difference(first, row, name, over_seeds=many[0]) if is_defined else none
    )
  return row._replace(differences=differences, notes=notes)


def _difference(
  first: Row, row: Row, name: str, *, over_seeds: bool
) -> Difference:
  has_examples = all(
    each.measurement.per_example is not None for each in (first, row)
  )
  if has_examples and not over_seeds:
    a, b = (read_per_example(x.measurement, name) for x in (row, first))
    if a.shape != b.shape or a.ndim != 1:
      raise UserError(
        f'{row.run.name}: got {a.shape} numbers per example, expected '
        f'{b.shape} as {first.run.name} has. Run {command("evaluate")} again'
      )
    return Difference(estimate_mean(a.astype(float) - b), PAIRED)
  mine, its = row.values[name], first.values[name]
  error = math.hypot(mine.standard_error, its.standard_error)
  return Difference(Estimate(mine.mean - its.mean, error), UNPAIRED)


def options_that_differ(
  runs: Sequence[MeasuredRun], left_out: Sequence[str]
) -> dict[str, list[Any]]:
  """Returns option -> its value in each run, where they differ."""
  each = [run.record.options() for run in runs]
  for one, run in zip(each, runs, strict=True):
    if run.record.custom_model:
      one['model'] = run.record.custom_model
    if run.record.custom_optimizer:
      one['optimizer'] = 'from Python'
  names = dict.fromkeys(name for one in each for name in one)
  found = {name: [one.get(name, '-') for one in each] for name in names}
  return {
    name: values
    for name, values in found.items()
    if name not in left_out and any(x != values[0] for x in values)
  }


def short_names(names: Sequence[str]) -> list[str]:
  """Returns the last part of each path, or the paths where two are equal."""
  last = [re.split(r'[/\\]', name.rstrip('/\\'))[-1] for name in names]
  return last if len({*last}) == len(last) else [*names]
