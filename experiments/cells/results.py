"""Results of cells as records: collected from folders, kept in results.json."""

import json
import math
import pathlib
import re
from typing import Any, NamedTuple

from experiments.cells.cell import Cell
from experiments.cells.finished import (
  Finished,
  estimate,
  options_of,
  read,
)
from experiments.lab.config import GradientVarianceConfig
from vae_jax.errors import UserError
from vae_jax.io import files

# Mean and standard error; the latter None where there is none.
Number = list[float | None]

RESULTS = 'results.json'
_VARIANCES_OF = 'diagonal covariance'
_LAYER = re.compile(r'latent_units_(\w+)')


class Result(NamedTuple):
  """Our number of a cell beside the published one.

  Attributes:
    name: name of the cell.
    title: description of the cell.
    source: source of the published number; '' for a cell of the comparison at
      equal budget.
    published: published number; '' for none.
    published_active: published active units; '' for none.
    note: remark on the comparison; '' for none.
    metric: 'nll' or 'elbo'.
    samples: K of the NLL; 0 for a cell without one.
    finished: whether a run is finished; all that follows is empty otherwise.
    num_seeds: number of seeds; errors of several are those over seeds, of one
      over examples.
    nll: NLL on the test split.
    elbo: ELBO on the test split.
    train_elbo: mean ELBO over the training examples of the reported epoch.
    active: active units of each stochastic layer, mean over seeds.
    epochs: epochs of the training.
    seconds: duration of the gradient steps of all seeds; None if unknown.
    gap_examples: test examples on which the gaps are measured; 0 for none.
    gap_approximation: approximation gap.
    gap_amortisation: amortisation gap.
    variances: estimator -> variance of its gradient after the last step.
    revision: git revision at the start of the run.
  """

  name: str
  title: str
  source: str
  published: str
  published_active: str
  note: str
  metric: str
  samples: int
  finished: bool = False
  num_seeds: int = 0
  nll: Number | None = None
  elbo: Number | None = None
  train_elbo: float | None = None
  active: list[float] | None = None
  epochs: int = 0
  seconds: float | None = None
  gap_examples: int = 0
  gap_approximation: Number | None = None
  gap_amortisation: Number | None = None
  variances: dict[str, float] | None = None
  revision: str = ''


def to_record(result: Result) -> dict[str, Any]:
  """Returns a result as in results.json, without its empty fields."""
  empty = Result._field_defaults
  return {
    name: value
    for name, value in result._asdict().items()
    if name not in empty or value != empty[name]
  }


def unfinished(cell: Cell) -> Result:
  """Returns what is known of a cell without a finished run."""
  of, is_trained = cell.published, cell.is_trained
  return Result(
    name=cell.name,
    title=cell.title,
    source=of.source if of else '',
    published=of.value if of else '',
    published_active=of.active if of else '',
    note=of.note if of else '',
    metric=of.metric if of else 'nll',
    samples=cell.training.run.nll_num_samples if is_trained else 0,
  )


def of_folder(folder: pathlib.Path, cell: Cell) -> Result:
  """Returns the result of a cell from the folder of a run of any seeds.

  Raises:
    UserError: the run has other options than the cell, or a damaged file.
  """
  result, config = unfinished(cell), cell.config
  if isinstance(config, GradientVarianceConfig):
    variances = _variances(folder, config)
    return result._replace(finished=bool(variances), variances=variances)
  found = read(folder, options_of(folder, config))
  return result if found is None else result._replace(**_fields(found))


def _fields(found: Finished) -> dict[str, Any]:
  """Returns the fields of a result that a finished run fills."""
  seeds, metrics, gaps = found.seeds, found.metrics, found.gaps

  def number(metrics: dict[str, Any], name: str) -> Number | None:
    if metrics.get(name) is None:
      return None
    value = estimate(metrics, name, seeds)
    known = not math.isnan(value.standard_error)
    return [value.mean, value.standard_error if known else None]

  layers = [m[1] for m in map(_LAYER.fullmatch, metrics) if m]
  names = [f'active_units_{layer}' for layer in layers] or ['active_units']
  active = [x[0] for x in (number(metrics, name) for name in names) if x]
  return {
    'finished': True,
    'num_seeds': len(seeds),
    'nll': number(metrics, 'nll'),
    'elbo': number(metrics, 'elbo'),
    'train_elbo': found.train.get('elbo'),
    'active': active or None,
    'epochs': found.epochs,
    'seconds': found.seconds,
    'gap_examples': gaps.get('gap_examples', 0),
    'gap_approximation': number(gaps, 'gap_approximation'),
    'gap_amortisation': number(gaps, 'gap_amortisation'),
    'revision': found.revision,
  }


def _variances(
  folder: pathlib.Path, config: GradientVarianceConfig
) -> dict[str, float] | None:
  """Returns the variances after the last step; None if it is not reached."""
  path = folder / RESULTS
  if not path.exists():
    return None
  try:
    lines = [
      line
      for line in json.loads(files.read_text(path))
      if line['suite'] == config.suite and line['setting'] == _VARIANCES_OF
    ]
    last = [line for line in lines if line['step'] == config.num_steps]
    return {line['estimator']: line['variance'] for line in last} or None
  except UserError:
    raise
  except (ValueError, TypeError, KeyError) as error:
    raise UserError(f'{path}: damaged ({error}). Remove it') from None


def read_results(path: pathlib.Path) -> list[Result]:
  """Reads the records of a results.json.

  Raises:
    UserError: no such file, or a damaged one.
  """
  try:
    records = json.loads(files.read_text(path))
    return [Result(**record) for record in records]
  except UserError:
    raise
  except (ValueError, TypeError) as error:
    raise UserError(
      f'{path}: damaged ({error}). reproduce --table writes it'
    ) from None
