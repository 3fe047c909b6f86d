"""Declaration and validation of the options of a command."""

import dataclasses
import math
import operator
from collections.abc import Callable
from typing import Any

from vae_jax.errors import UserError

# Of float32, a little narrower.
_TINY, _HUGE = 2e-38, 3e38

_BOUNDS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
  'above': (operator.gt, 'a number above'),
  'below': (operator.lt, 'a number below'),
  'at_least': (operator.ge, 'at least'),
  'at_most': (operator.le, 'at most'),
}


def option(default: Any, help: str, group: str, **metadata: Any) -> Any:
  """Declares an option, a field of a dataclass.

  Args:
    default: value without the flag; its type is the option's type.
    help: one line.
    group: heading in the help text.
    **metadata: `choices`, `unit`, `aliases` (old value -> new value), `item`
      (type of the entries of a tuple, int if it is missing) and the bounds
      `above`, `below`, `at_least`, `at_most`.
  """
  return dataclasses.field(
    default=default, metadata={'help': help, 'group': group, **metadata}
  )


def flag_of(field: dataclasses.Field[Any]) -> str:
  """Returns the flag of an option: `class` for a field `class_`."""
  return field.name.removesuffix('_')


def option_fields(config_class: type) -> list[dataclasses.Field[Any]]:
  """Returns the options of a config, those of nested parts in order."""
  found = []
  for field in dataclasses.fields(config_class):
    if isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
      found += option_fields(field.type)
    else:
      found.append(field)
  return found


def validate(config: Any) -> None:
  """Replaces aliases and checks the type and bounds of every option.

  Raises:
    UserError: names the option, what it got and what it expects.
  """
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if isinstance(field.default, tuple):
      item_type = field.metadata.get('item', int)
      if not isinstance(value, tuple):
        words = 'texts' if item_type is str else 'whole numbers'
        raise _error(field, value, f'{words}, as a tuple')
      for item in value:
        _check(field, item, item_type)
      continue
    if isinstance(value, str):
      value = field.metadata.get('aliases', {}).get(value, value)
      object.__setattr__(config, field.name, value)
    _check(field, value, type(field.default))


def _error(
  field: dataclasses.Field[Any], value: Any, expected: str
) -> UserError:
  got = repr(value) if value == '' else value
  return UserError(f'--{flag_of(field)}: got {got}, expected {expected}')


def _check(field: dataclasses.Field[Any], value: Any, kind: Any) -> None:
  """Raises `UserError` unless `value` has the type and bounds of `field`."""
  if not isinstance(value, (int, float) if kind is float else kind):
    raise _error(field, value, f'a value of type {kind.__name__}')
  choices = field.metadata.get('choices')
  if choices and value not in choices:
    raise _error(field, value, f'one of {", ".join(choices)}')
  if isinstance(value, str) and not value.isprintable():
    raise _error(field, repr(value), 'printable characters')
  if kind is float and not math.isfinite(value):
    raise _error(field, value, 'a finite number')
  if kind is float and value and not _TINY <= abs(value) <= _HUGE:
    # The device would compute with 0 or infinity.
    raise _error(field, value, f'0 or a size of {_TINY:.0e} to {_HUGE:.0e}')
  for bound, (holds, words) in _BOUNDS.items():
    limit = field.metadata.get(bound)
    if limit is not None and not holds(value, limit):
      raise _error(field, value, f'{words} {limit}')
