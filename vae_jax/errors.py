"""Errors that a person, not a programmer, reads."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import TypeVar

RowT = TypeVar('RowT')
_MOST_LETTERS = 4000
# A clone has the script beside the library; an installed wheel does not.
_IN_CLONE = pathlib.Path(__file__).parents[1].joinpath('launch.sh').is_file()


class UserError(ValueError):
  """A mistake in the user's input: one line on what, where and what to do.

  The command line prints the line without a traceback and exits with 2. The
  line may quote a file from an untrusted source: see `printable`.
  """

  def __init__(self, message: str):
    super().__init__(printable(message[:_MOST_LETTERS]))


class ReadError(UserError):
  """Data on disk that cannot be read, perhaps in the middle of a run."""


def printable(text: str, kept: str = '') -> str:
  r"""Escapes control characters, with which text could steer a terminal.

  >>> printable('a\x1b[2J')
  'a\\x1b[2J'

  Args:
    text: any text, also with lone surrogates.
    kept: control characters that stay.
  """
  if text.isprintable():
    return text
  return ''.join(
    x if x.isprintable() or x in kept else ascii(x)[1:-1] for x in text
  )


def lookup(kind: str, table: Mapping[str, RowT], name: str) -> RowT:
  """Returns the row of a table.

  Args:
    kind: the argument that carries the name, for the message.
    table: name -> row.
    name: key of the row.

  Raises:
    ValueError: the table has no such row.
  """
  if name not in table:
    raise ValueError(f'{kind} is {name!r}: must be one of {tuple(table)}')
  return table[name]


def command(name: str) -> str:
  """Returns how a person starts a command, for messages.

  Args:
    name: name of the command, such as 'train'.
  """
  return f'./launch.sh {name}' if _IN_CLONE else f'python -m vae_jax {name}'


def installation(extra: str) -> str:
  """Returns how a person installs an extra of pyproject.toml, for messages.

  Args:
    extra: name of the extra, such as 'experiments'.
  """
  return f"pip install 'vae_jax[{extra}]'"


@contextlib.contextmanager
def needs(extra: str = 'experiments') -> Iterator[None]:
  """Makes a missing library, imported inside, an error that names its extra.

  Args:
    extra: name of the extra that installs the library.

  Raises:
    UserError: the library is not installed.
  """
  try:
    yield
  except ModuleNotFoundError as error:
    raise UserError(
      f'{error.name}: got no such library, expected it to be installed. Run '
      f'{installation(extra)}'
    ) from error
