"""How an option of a command is declared and checked."""

import dataclasses
import math
import operator
from collections.abc import Callable
from typing import Any

from vae_jax.errors import UserError

_BOUNDS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
  'above': (operator.gt, 'above'),
  'below': (operator.lt, 'below'),
  'at_least': (operator.ge, 'at least'),
  'at_most': (operator.le, 'at most'),
}


def option(default: Any, help: str, group: str, **metadata: Any) -> Any:
  """Declares a field; `metadata` may hold choices, unit and `_BOUNDS`."""
  return dataclasses.field(
    default=default, metadata={'help': help, 'group': group, **metadata}
  )


def validate(config: Any) -> None:
  """Raises `UserError` unless every field has its type and bounds."""
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if isinstance(field.default, tuple):
      if not isinstance(value, tuple):
        raise UserError(f'--{field.name}={value}: must be whole numbers')
      for item in value:
        _check(field, item, int)
    else:
      _check(field, value, type(field.default))


def _check(field: dataclasses.Field[Any], value: Any, kind: Any) -> None:
  """Raises `UserError` unless `value` has the type and bounds of `field`."""
  problem = f'--{field.name}={value}: must be'
  if not isinstance(value, (int, float) if kind is float else kind):
    raise UserError(f'{problem} of type {kind.__name__}')
  choices = field.metadata.get('choices')
  if choices and value not in choices:
    raise UserError(f'{problem} one of {", ".join(choices)}')
  if isinstance(value, str) and not value.isprintable():
    raise UserError(
      f'--{field.name}={value!r}: must be of printable characters'
    )
  if kind is float and not math.isfinite(value):
    raise UserError(f'{problem} a finite number')
  for bound, (holds, words) in _BOUNDS.items():
    limit = field.metadata.get(bound)
    if limit is not None and not holds(value, limit):
      raise UserError(f'{problem} {words} {limit}')
