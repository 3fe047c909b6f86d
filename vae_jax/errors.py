"""Errors that a person, not a programmer, reads."""

from collections.abc import Mapping
from typing import TypeVar

RowT = TypeVar('RowT')
_MOST_LETTERS = 4000


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
