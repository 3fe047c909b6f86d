"""Stopping on a signal without losing anything.

The first SIGTERM, SIGINT or SIGUSR1 raises `Stopped` where the program is,
or, inside `held`, when that ends; a second one kills at once.
"""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

# The exit codes of a shell; a scheduler's warning (SIGUSR1) ends like the
# SIGTERM that it announces.
_EXIT_CODES = {
  signal.SIGTERM: 143,
  signal.SIGUSR1: 143,
  signal.SIGINT: 130,
}


class Stopped(BaseException):
  """A signal asks the program to end; not an `Exception`, so none hides it.

  Attributes:
    exit_code: what the program is to exit with.
  """

  def __init__(self, number: int):
    super().__init__(f'stopped by {signal.Signals(number).name}')
    self.exit_code = _EXIT_CODES[signal.Signals(number)]


class _State:
  """One a process, as the signals are."""

  received: int | None = None
  holding: bool = False


@contextlib.contextmanager
def installed() -> Iterator[None]:
  """Makes the three signals raise `Stopped` in a block of the main thread."""
  _State.received, _State.holding = None, False
  before = {each: signal.signal(each, _handle) for each in _EXIT_CODES}
  try:
    yield
  finally:
    _State.received = None
    for each, handler in before.items():
      signal.signal(each, handler)


def _handle(number: int, frame: FrameType | None) -> None:
  del frame
  for each in _EXIT_CODES:
    signal.signal(each, signal.SIG_DFL)
  _State.received = number
  if not _State.holding:
    raise Stopped(number)


def check() -> None:
  """Raises `Stopped` if a signal came that a library's code has swallowed."""
  if _State.received is not None and not _State.holding:
    raise Stopped(_State.received)


@contextlib.contextmanager
def held() -> Iterator[None]:
  """Lets a block come to its end; raises `Stopped` after it if need be."""
  _State.holding = True
  try:
    yield
  finally:
    _State.holding = False
  check()
