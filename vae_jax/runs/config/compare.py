"""The options of `compare` and of `sweep`."""

import dataclasses
import itertools
from typing import Any, ClassVar

from vae_jax.errors import UserError, command
from vae_jax.runs.config import shared
from vae_jax.runs.config.options import option, option_fields, validate
from vae_jax.runs.config.train import Config

_SWEEP = 'Sweep'
# Options of one process, or that every run of a sweep has of its own.
_NOT_IN_GRID = ('workdir', 'on_epoch', 'resume_with_changes', 'distributed')
_MOST_RUNS = 1000


@dataclasses.dataclass(frozen=True)
class CompareConfig:
  """A comparison of trained runs. Raises `UserError` like `Config`."""

  workdirs: tuple[str, ...] = option(
    (),
    'folders of two or more runs, separated by commas or given without the '
    'flag; differences are from the first',
    shared.RUN,
    item=str,
  )
  workdir: str = option(
    '', 'folder of table and figure; empty: runs/compare', shared.RUN
  )

  def __post_init__(self) -> None:
    validate(self)


@dataclasses.dataclass(frozen=True)
class Cell:
  """One run of a sweep: its name, which states its options, and all options."""

  name: str
  config: Config


@dataclasses.dataclass(frozen=True)
class SweepOptions:
  """The options of a sweep beside those of `train`."""

  grid: str = option(
    '',
    'options and their values, as "learning_rate=1e-3,3e-3;latent_dim=2,10"; '
    'sizes in a list are joined by x, as "hidden_sizes=200x200,500"',
    _SWEEP,
  )

  def __post_init__(self) -> None:
    validate(self)


@dataclasses.dataclass(frozen=True, init=False)
class SweepConfig:
  """A grid of training runs; all other options are those of `train`.

  Attributes:
    sweep: the grid.
    first: options of the first run.
    cells: every run, in the order of the grid, with the last option fastest.

  Raises:
    UserError: an unknown option, an impossible value or combination.
  """

  sweep: SweepOptions
  first: Config
  cells: ClassVar[tuple[Cell, ...]]

  def __init__(self, grid: str = '', **options: Any) -> None:
    object.__setattr__(self, 'sweep', SweepOptions(grid))
    names, values = _read_grid(grid)
    cells = []
    for texts, own in values:
      name = '-'.join(
        f'{option}={text}' for option, text in zip(names, texts, strict=True)
      )
      given = dict(zip(names, own, strict=True))
      try:
        config = Config(**(options | given))
      except UserError as error:
        where = f'--grid at {name}: ' if grid else ''
        raise UserError(f'{where}{error}') from None
      cells.append(Cell(name, config))
    object.__setattr__(self, 'first', cells[0].config)
    object.__setattr__(self, 'cells', tuple(cells))


def _read_grid(grid: str) -> tuple[list[str], list[tuple[Any, Any]]]:
  """Returns the options, and (texts, values) of every combination."""
  fields = {field.name: field for field in option_fields(Config)}
  lists: dict[str, list[tuple[str, Any]]] = {}
  for part in filter(str.strip, grid.split(';')):
    name, equals, texts = (each.strip() for each in part.partition('='))
    name = name.removeprefix('--')
    if not equals or not texts:
      raise UserError(
        f'--grid: got {part.strip()}, expected an option and its values, as '
        'latent_dim=2,10. Separate options by ;'
      )
    if name not in fields or name in _NOT_IN_GRID or name in lists:
      reason = 'twice' if name in lists else 'as an option of the grid'
      raise UserError(
        f'--grid: got {name} {reason}, expected a flag of train once. '
        f'{command("train")} --help lists them'
      )
    each = [text.strip() for text in texts.split(',') if text.strip()]
    lists[name] = [(text, _value(fields[name], text)) for text in each]
    if len({value for _, value in lists[name]}) < len(each):
      raise UserError(f'--grid: got a value of {name} twice. Remove one')
  pairs = [*itertools.product(*lists.values())]
  if len(pairs) > _MOST_RUNS:
    raise UserError(
      f'--grid: got {len(pairs)} runs, expected at most {_MOST_RUNS}. Use '
      'fewer values'
    )
  return [*lists], [
    (tuple(text for text, _ in pair), tuple(value for _, value in pair))
    for pair in pairs
  ]


def _value(field: dataclasses.Field[Any], text: str) -> Any:
  """Reads a value of an option from the grid."""
  kind: Any = type(field.default)
  switches = {'true': True, 'false': False}
  try:
    if kind is bool:
      return switches[text.lower()]
    if kind is tuple:
      return tuple(int(size) for size in text.split('x'))
    return kind(text)
  except (KeyError, ValueError):
    words = {
      bool: 'true or false',
      tuple: 'whole numbers joined by x',
      int: 'a whole number',
      float: 'a number',
    }
    raise UserError(
      f'--grid: got {field.name}={text}, expected {words[kind]}'
    ) from None
