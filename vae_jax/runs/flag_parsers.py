"""Parsers of the values of flags, by the type of an option."""

from collections.abc import Callable
from typing import Any

from absl import flags


class Parser(flags.ArgumentParser):
  """Parses one kind of option; an error says what is expected."""

  def __init__(self, parse: Callable[[Any], Any], expected: str):
    self._parse, self.syntactic_help = parse, expected

  def parse(self, argument: Any) -> Any:
    """Returns the value of a text; raises `ValueError` for another one."""
    try:
      return self._parse(argument)
    except (TypeError, ValueError, OverflowError):
      raise ValueError(f'expected {self.syntactic_help}') from None


def _whole_numbers(argument: str | tuple[int, ...]) -> tuple[int, ...]:
  """Parses `200,100` into `(200, 100)`."""
  if isinstance(argument, tuple):
    return argument
  return tuple(int(part) for part in argument.split(',') if part.strip())


def _texts(argument: str | tuple[str, ...]) -> tuple[str, ...]:
  """Parses `a,b` into `('a', 'b')`."""
  if isinstance(argument, tuple):
    return argument
  return tuple(part for part in argument.split(',') if part)


PARSERS: dict[type, Parser] = {
  bool: Parser(flags.BooleanParser().parse, 'true or false'),
  int: Parser(flags.IntegerParser().parse, 'a whole number'),
  float: Parser(flags.FloatParser().parse, 'a number'),
  str: Parser(flags.ArgumentParser().parse, 'a text'),
  tuple: Parser(_whole_numbers, 'whole numbers separated by commas'),
}
TEXTS = Parser(_texts, 'texts separated by commas')
