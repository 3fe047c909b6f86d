"""A user's function of the metrics of an epoch, named by `--on_epoch`."""

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from vae_jax.errors import UserError
from vae_jax.io import signals

OnEpoch = Callable[[dict[str, float]], Any]


def load(name: str) -> OnEpoch | None:
  """Returns the function of `--on_epoch=module:function`; None for ''.

  A module may lie in the present folder, behind all others in the path. What
  the function raises becomes one line that names its own file and line.

  Raises:
    UserError: another form, no such module or function, or one that does not
      run.
  """
  if not name:
    return None
  where = f'--on_epoch={name}'
  module, colon, attribute = name.partition(':')
  if not (module and colon and attribute.isidentifier()):
    raise UserError(
      f'{where}: got no module:function, expected one such as mine:log. Name '
      'both'
    )
  if os.getcwd() not in sys.path:
    sys.path.append(os.getcwd())
  try:
    function = getattr(importlib.import_module(module), attribute, None)
  except signals.Stopped:
    raise
  except ModuleNotFoundError as error:
    raise UserError(
      f'{where}: got no module {error.name}, expected one in the present '
      'folder or installed. Use its name without .py'
    ) from None
  except Exception as error:
    raise UserError(f'{where}: {_in_words(error)} at its import') from None
  if not callable(function):
    raise UserError(
      f'{where}: got no function {attribute} in {module}, expected one of a '
      'dict. Define it'
    )

  def called(numbers: dict[str, float]) -> None:
    try:
      function(numbers)
    except (UserError, signals.Stopped):
      raise
    except Exception as error:
      raise UserError(
        f'{where}: {_in_words(error)} after epoch {numbers["epoch"]:.0f}, '
        'which is saved. Mend the function and run the same command to resume'
      ) from error

  return called


def _in_words(error: Exception) -> str:
  """Returns an exception with the file and line that raised it."""
  frames = traceback.extract_tb(error.__traceback__)
  place = frames[-1]
  reason = ' '.join(str(error).split())[:500]
  own = f'{type(error).__name__}: {reason}' if reason else type(error).__name__
  return f'{own} in {place.filename}, line {place.lineno},'
