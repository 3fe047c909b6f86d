"""Results of drawing: a figure with its caption, or a reason to skip it."""

from collections.abc import Callable
from typing import NamedTuple

from vae_jax import plots


class Drawn(NamedTuple):
  """A figure of a run.

  Attributes:
    name: Name of the file, without `.png`.
    figure: Figure to save.
    caption: Sentence below the figure in the report.
  """

  name: str
  figure: 'plots.Figure'
  caption: str


class Skipped(NamedTuple):
  """A figure that the model or the metrics cannot provide.

  Attributes:
    name: Name of the file, without `.png`.
    reason: Reason, as a clause without a full stop.
    is_expected: Whether the model does not admit the figure; otherwise
      something is wrong, and the user is warned.
  """

  name: str
  reason: str
  is_expected: bool = True


def attempt(name: str, draw: Callable[[], Drawn | Skipped]) -> Drawn | Skipped:
  """Draws a figure, or skips it: no figure may end a report.

  Args:
    name: Name of the file, without `.png`.
    draw: Draws the figure.
  """
  try:
    return draw()
  # NumPy, XLA and matplotlib raise exceptions of many types.
  except Exception as error:
    return skip_failed(name, error)


def skip_failed(name: str, error: Exception) -> Skipped:
  """Returns the reason, one line, that a figure failed."""
  words = ' '.join(str(error).split())[:200]
  reason = f'it cannot be drawn ({type(error).__name__}: {words})'
  return Skipped(name, reason, is_expected=False)
