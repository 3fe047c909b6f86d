"""Keyword arguments read from a part of a config."""

import inspect
from collections.abc import Callable
from typing import Any


def options_of(function: Callable[..., Any], part: Any) -> dict[str, Any]:
  """Returns the attributes of `part` that `function` takes by keyword.

  Args:
    function: its keyword-only arguments are the options.
    part: any object, such as a part of a run's `Config`.

  Raises:
    TypeError: `part` has none of them.
  """
  names = [
    name
    for name, parameter in inspect.signature(function).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
  ]
  options = {name: getattr(part, name) for name in names if hasattr(part, name)}
  if not options:
    raise TypeError(
      f'{function.__name__}: got {type(part).__name__}, expected a part of a '
      f'Config with fields such as {", ".join(names[:3])}'
    )
  return options
