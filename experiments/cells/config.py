"""Options of the command `reproduce`."""

import dataclasses

from vae_jax.errors import UserError
from vae_jax.runs.config import shared
from vae_jax.runs.config.options import option, validate


@dataclasses.dataclass(frozen=True)
class ReproduceConfig:
  """Cells of published tables. Raises `UserError` like `Config`."""

  list: bool = option(
    False, 'list the cells: published number, ours, and time', shared.LAB
  )
  table: bool = option(
    False,
    'collect the finished runs of --workdir into its results.md and '
    'results.json, and print the tables',
    shared.LAB,
  )
  probe: bool = option(
    False,
    'time some steps of the named cells, for the times of --list, and train '
    'none',
    shared.LAB,
  )
  workdir: str = option(
    'runs/reproduce', 'folder of the runs, one folder per cell', shared.RUN
  )
  num_seeds: int = option(
    0,
    'number of seeds, trained in one program; 0: as the flagfile states',
    shared.TRAINING,
    at_least=0,
    at_most=shared.MANY,
    unit='seeds',
  )
  dataset: str = option(
    '', 'path of the file of a cell whose data are yours', shared.DATA
  )
  data_dir: str = shared.data_dir
  report: str = option(
    'table',
    'report of a run: full draws figures, table leaves them out',
    shared.RUN,
    choices=('full', 'table'),
  )
  platform: str = shared.platform
  compile_cache: str = shared.compile_cache

  def __post_init__(self) -> None:
    validate(self)
    given = [x for x in ('list', 'table', 'probe') if getattr(self, x)]
    if len(given) > 1:
      raise UserError(
        f'--{given[0]} with --{given[1]}: each is a task of its own; leave one '
        'of them out'
      )
