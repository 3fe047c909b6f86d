"""List of the cells: published number, ours, and the time of each."""

import pathlib
from collections.abc import Sequence
from typing import Any

from experiments.cells import probe
from experiments.cells.cell import Cell
from experiments.cells.config import ReproduceConfig
from experiments.cells.finished import Progress, progress
from experiments.cells.published import ELBO
from experiments.cells.results import RESULTS, Result, read_results
from experiments.cells.tabulate import collect, folders
from experiments.cells.words import duration, number
from vae_jax.errors import UserError, command

# Results that this revision keeps, of the README.
KEPT = pathlib.Path(__file__).parents[1] / RESULTS


def run(options: ReproduceConfig, cells: Sequence[Cell]) -> None:
  """Prints a line per cell."""
  kept = {x.name: x for x in read_results(KEPT)} if KEPT.exists() else {}
  probes = probe.read(options.workdir)
  print(
    f'{"cell":<24}{"K":>6}{"published":>11}  {"ours":<26}{"time per seed":<18}'
    'source'
  )
  for cell in cells:
    result = collect(options.workdir, cell)
    ours = _ours(result) if result.finished else ''
    if not ours:
      ours = _progress(options.workdir, cell)
    recorded = kept.get(cell.name)
    if not ours and recorded and recorded.finished:
      ours = f'{_ours(recorded)} (recorded)'
    time = _time(options.workdir, cell, result, probes.get(cell.name))
    words = '; '.join(filter(None, (result.source, result.note)))
    print(
      f'{cell.name:<24}{result.samples or "":>6}{result.published:>11}  '
      f'{ours or "not started":<26}{time:<18}{words or cell.title}'
    )
  print(
    '\nNLL or ELBO in nats, +- over seeds, of one seed over examples; '
    f'"recorded" is that of\n{KEPT.parent.name}/{RESULTS}. Unknown times: '
    f'{command("reproduce")} NAME --probe measures some steps.'
  )


def _ours(result: Result) -> str:
  if result.variances:
    return 'finished, see --table'
  if result.metric == ELBO:
    return f'ELBO {number(result.elbo)}'
  return number(result.nll)


def _progress(workdir: str, cell: Cell) -> str:
  """Returns words on a run that is not finished, '' if there is none."""
  if not cell.is_trained:
    return ''
  for path in folders(workdir, cell):
    found = _read(path, cell)
    if found is not None:
      epochs = cell.training.optimizer.num_epochs
      return f'epoch {found.epoch} of {epochs}'
  return ''


def _read(path: pathlib.Path, cell: Cell) -> Progress | None:
  try:
    return progress(path, cell.training.optimizer.batch_size)
  except UserError:
    return None


def _time(workdir: str, cell: Cell, result: Result, probed: Any) -> str:
  """Returns the training time per seed, or an estimate from some of it."""
  if not cell.is_trained:
    return 'unknown'
  if result.seconds is not None:
    return duration(result.seconds / result.num_seeds)
  begun = [_read(path, cell) for path in folders(workdir, cell)]
  paces = [x.seconds_per_epoch for x in begun if x and x.seconds_per_epoch]
  paces += [probed['seconds_per_epoch']] if probed else []
  epochs = cell.training.optimizer.num_epochs
  return f'about {duration(paces[0] * epochs)}' if paces else 'unknown'
