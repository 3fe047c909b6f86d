"""A cell of a published table: a flagfile and the number to compare with."""

import difflib
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

from experiments.cells.published import (
  GRADIENT_VARIANCE,
  PUBLISHED,
  Published,
)
from experiments.lab.config import GradientVarianceConfig
from vae_jax.data import FILE_SUFFIXES
from vae_jax.errors import UserError
from vae_jax.runs import Config, flags

ROOT = pathlib.Path(__file__).parents[2]
FLAGFILES = ROOT / 'experiments' / 'flagfiles'
# Cells that compare our own models at equal budget include this flagfile.
_EQUAL_BUDGET = 'equal_budget'
_INCLUDE = '--flagfile='


class Cell(NamedTuple):
  """A cell of a table.

  Attributes:
    name: name of its flagfile.
    title: first sentence of the comment in the flagfile.
    config: options of its run, without the folder.
    published: number to compare with; None for a cell of the comparison of
      our own models at equal budget.
  """

  name: str
  title: str
  config: Config | GradientVarianceConfig
  published: Published | None

  @property
  def training(self) -> Config:
    """Options of a cell that is trained."""
    assert isinstance(self.config, Config)
    return self.config

  @property
  def is_trained(self) -> bool:
    """Returns whether the command of the cell is `train`."""
    return isinstance(self.config, Config)

  @property
  def start(self) -> str:
    """Name of the cell whose parameters the run starts from; '' for none.

    The flagfile names its folder, and `reproduce` the one of its own --workdir.
    """
    if not isinstance(self.config, Config):
      return ''
    return start_of(self.config)

  @property
  def is_of_a_file(self) -> bool:
    """Returns whether the data are a file that the user names."""
    return self.is_trained and self.training.data.dataset.endswith(
      FILE_SUFFIXES
    )


def start_of(config: Config) -> str:
  """Returns the name of the cell whose parameters a run starts from."""
  # A run of other seeds has a suffix: NAME-3seeds.
  return pathlib.Path(config.run.warm_start).name.partition('-')[0]


def _path(name: str) -> pathlib.Path:
  return FLAGFILES / f'{name}.flags'


def _lines(path: pathlib.Path) -> Iterator[str]:
  """Yields the flags of a flagfile and of those that it includes.

  absl looks for an included file in the current folder, which need not be the
  one of the repository.
  """
  for line in path.read_text().splitlines():
    if line.startswith(_INCLUDE):
      yield from _lines(ROOT / line.removeprefix(_INCLUDE))
    elif line.startswith('--'):
      yield line


def _equal_budget() -> list[str]:
  include = f'{_INCLUDE}experiments/flagfiles/{_EQUAL_BUDGET}.flags'
  names = [
    path.stem
    for path in sorted(FLAGFILES.glob('*.flags'))
    if include in path.read_text().splitlines()
  ]
  # MNIST before Fashion-MNIST, and first what the others differ from.
  return sorted(
    names,
    key=lambda name: (
      name.startswith('fashion'),
      not name.endswith('standard'),
    ),
  )


# Names of all cells, in the order of the tables.
CELLS = (*PUBLISHED, *_equal_budget())


def load(name: str) -> Cell:
  """Reads a cell from its flagfile.

  Raises:
    UserError: no cell has this name; the message has the nearest ones.
  """
  if name not in CELLS:
    near = difflib.get_close_matches(name, CELLS, n=3)
    hint = f'Did you mean {" or ".join(near)}?' if near else '--list shows all'
    raise UserError(f'reproduce: got {name!r}, expected a cell. {hint}')
  path, published = _path(name), PUBLISHED.get(name)
  kind: type[Config] | type[GradientVarianceConfig] = Config
  if published and published.command == GRADIENT_VARIANCE:
    kind = GradientVarianceConfig
  config = flags.parse(kind, [name, *_lines(path)])
  return Cell(name, _title(path), config, published)


def _title(path: pathlib.Path) -> str:
  """Returns the first paragraph of the comment, without its full stop."""
  lines = []
  for line in path.read_text().splitlines():
    if not line.startswith('# '):
      break
    lines.append(line.removeprefix('# '))
  return ' '.join(lines).rstrip('.')
