"""Errors that a person, not a programmer, reads."""

from collections.abc import Mapping
from typing import TypeVar

RowT = TypeVar('RowT')


class UserError(ValueError):
  """A mistake in the user's input: one line on what, where and what to do.

  The command line prints the line without a traceback and exits with 2.
  """


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
