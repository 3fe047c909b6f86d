"""Options that are given, but that no chosen row of a table reads."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from vae_jax.objectives import OBJECTIVES


def objective_readers() -> dict[str, tuple[str, ...]]:
  """Returns objective -> the options that it reads."""
  # Have messages of their own.
  always = ('estimator', 'form', 'temperature')
  return {
    name: tuple(
      option
      for option in (*row.options, *row.loss_options)
      if option not in always
    )
    for name, row in OBJECTIVES.items()
  }


def unread(
  part: Any, owner: str, readers: dict[str, tuple[str, ...]]
) -> Iterator[str]:
  """Yields a line for each changed option that no chosen row reads."""
  present = getattr(part, owner)
  defaults = {field.name: field.default for field in dataclasses.fields(part)}
  for name in dict.fromkeys(sum(readers.values(), ())):
    value = getattr(part, name)
    reading = [row for row, options in readers.items() if name in options]
    if value != defaults[name] and present not in reading:
      words = ','.join(map(str, value)) if isinstance(value, tuple) else value
      yield (
        f'--{name}={words} with --{owner}={present}: it belongs to '
        f'--{owner}={" or ".join(reading)}'
      )
