"""Published numbers: cells that train, evaluate, list and tabulate them.

A cell is a flagfile in `experiments/flagfiles/` with the number that it is
compared with, in `published.py`.
"""

from collections.abc import Sequence

from experiments.cells import listing, probe, runs, tabulate
from experiments.cells.cell import CELLS, load
from experiments.cells.config import ReproduceConfig
from vae_jax.errors import UserError
from vae_jax.runs.folder_path import check_folder


def run(options: ReproduceConfig, names: Sequence[str]) -> None:
  """Runs the named cells, or lists or tabulates what their runs measured.

  Args:
    options: options of the command.
    names: names of cells; none for all, where they are listed, timed or
      tabulated.

  Raises:
    UserError: an unknown name, no name, or a run that cannot be trained.
  """
  check_folder(options.workdir)
  cells = [load(name) for name in names]
  if options.table:
    tabulate.run(options)
  elif options.list:
    listing.run(options, cells or [load(name) for name in CELLS])
  elif not cells:
    raise UserError(
      'reproduce: got no name, expected that of a cell. --list shows all'
    )
  else:
    each = probe.run if options.probe else runs.run
    for cell in runs.check(options, cells):
      each(options, cell)
