"""Tables over finished runs: results.json, results.md and curves."""

import logging
import pathlib
import re

from experiments.cells import curves
from experiments.cells.cell import CELLS, Cell, load
from experiments.cells.config import ReproduceConfig
from experiments.cells.markdown import render
from experiments.cells.results import (
  RESULTS,
  Result,
  of_folder,
  to_record,
  unfinished,
)
from vae_jax.errors import UserError
from vae_jax.io import files
from vae_jax.io.results import write_results
from vae_jax.runs.folder_path import create_folder

TABLES = 'results.md'
_logger = logging.getLogger(__name__)


def folders(workdir: str, cell: Cell) -> list[pathlib.Path]:
  """Returns the folders of the runs of a cell, NAME and NAME-3seeds."""
  root = pathlib.Path(workdir).expanduser()
  name = re.compile(rf'{cell.name}(?:-\d+seeds)?')
  return sorted(
    path for path in root.glob(f'{cell.name}*') if name.fullmatch(path.name)
  )


def collect(workdir: str, cell: Cell) -> Result:
  """Returns the result of a cell from its finished run of the most seeds.

  A run with other options than those of the flagfile, or a damaged one, is
  left out with a warning.
  """
  return find(workdir, cell)[1]


def find(workdir: str, cell: Cell) -> tuple[pathlib.Path | None, Result]:
  """Returns folder and result of `collect`; no folder if none is finished."""
  best, where = unfinished(cell), None
  for path in folders(workdir, cell):
    try:
      found = of_folder(path, cell)
    except UserError as error:
      _logger.warning('warning: %s', error)
      continue
    if found.finished and (where is None or found.num_seeds > best.num_seeds):
      best, where = found, path
  return where, best


def run(options: ReproduceConfig) -> None:
  """Prints the tables of all cells and writes them into the folder of runs.

  Raises:
    UserError: the folder cannot be written to.
  """
  folder = create_folder(options.workdir)
  cells = [load(name) for name in CELLS]
  found = [find(options.workdir, cell) for cell in cells]
  results = [result for _, result in found]
  write_results(folder / RESULTS, list(map(to_record, results)))
  tables = render(results)
  files.write_text(folder / TABLES, tables + '\n')
  curves.draw(folder, {x.name: path for path, x in found if path})
  print(tables)
