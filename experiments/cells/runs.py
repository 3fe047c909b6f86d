"""Runs of cells: trained, resumed or read, and compared with the number."""

import pathlib
from collections.abc import Sequence
from typing import Any

from experiments.cells import results, words
from experiments.cells.cell import Cell, load
from experiments.cells.config import ReproduceConfig
from experiments.cells.finished import options_of, read
from experiments.lab import variance
from experiments.lab.config import GradientVarianceConfig
from vae_jax.errors import UserError
from vae_jax.runs import train


def folder_of(workdir: str, cell: Cell, num_seeds: int) -> pathlib.Path:
  """Returns the folder of a run: NAME, or NAME-3seeds for other seeds.

  Args:
    workdir: folder of all runs.
    cell: the cell.
    num_seeds: number of seeds of the run; 0 for that of the flagfile.
  """
  own = cell.training.run.num_seeds if cell.is_trained else 0
  suffix = f'-{num_seeds}seeds' if num_seeds not in (0, own) else ''
  return pathlib.Path(workdir).expanduser() / f'{cell.name}{suffix}'


def check(options: ReproduceConfig, cells: Sequence[Cell]) -> list[Cell]:
  """Returns the cells with the options of the command.

  Raises:
    UserError: an option that a cell does not have.
  """
  return [_with_options(options, cell) for cell in cells]


def _with_options(options: ReproduceConfig, cell: Cell) -> Cell:
  folder = folder_of(options.workdir, cell, options.num_seeds)
  given: dict[str, Any] = {
    'workdir': str(folder),
    'platform': options.platform,
    'compile_cache': options.compile_cache,
  }
  if options.dataset and not cell.is_of_a_file:
    raise UserError(
      f'--dataset={options.dataset} with {cell.name}: its data are those of '
      'the flagfile; leave --dataset out'
    )
  if isinstance(cell.config, GradientVarianceConfig):
    if options.num_seeds:
      raise UserError(
        f'--num_seeds={options.num_seeds} with {cell.name}: it is a study of '
        'one seed; leave --num_seeds out'
      )
    changed = vars(cell.config) | given
    return cell._replace(config=GradientVarianceConfig(**changed))
  given |= {'data_dir': options.data_dir, 'report': options.report}
  if options.num_seeds:
    given['num_seeds'] = options.num_seeds
  if options.dataset:
    given['dataset'] = options.dataset
  if cell.start:
    start = folder_of(options.workdir, load(cell.start), options.num_seeds)
    given['warm_start'] = str(start)
  return cell._replace(config=cell.config.replace(**given))


def run(options: ReproduceConfig, cell: Cell) -> None:
  """Runs a cell unless its run is finished, and prints both numbers.

  Args:
    options: options of the command.
    cell: a cell, from `check`.

  Raises:
    UserError: the folder holds another run, or the data are missing.
  """
  if isinstance(cell.config, GradientVarianceConfig):
    folder = pathlib.Path(cell.config.workdir)
    if results.of_folder(folder, cell).finished:
      print(f'{cell.name}: finished in {folder}', flush=True)
    else:
      variance.run(cell.config)
  else:
    folder = pathlib.Path(cell.config.run.workdir)
    _train(options, cell)
  print(words.compare(results.of_folder(folder, cell)), flush=True)


def _train(options: ReproduceConfig, cell: Cell) -> None:
  """Trains the model of a cell, or resumes it, unless it is finished."""
  config, folder = cell.training, pathlib.Path(cell.training.run.workdir)
  stored = options_of(folder, config)
  config = config.replace(warm_start=stored.run.warm_start)
  if not options.dataset:  # The file that the run was started with.
    config = config.replace(dataset=stored.data.dataset)
  if read(folder, config) is not None:
    print(f'{cell.name}: finished in {folder}', flush=True)
    return
  if cell.start:
    run(options, _with_options(options, load(cell.start)))
  path = pathlib.Path(config.data.dataset).expanduser()
  if cell.is_of_a_file and not path.exists():
    raise UserError(
      f'--dataset: got no file {path}, expected the data of {cell.name}, which '
      f'{cell.name}.flags describes. Name it by --dataset=PATH'
    )
  train(config)
