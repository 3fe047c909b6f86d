"""Graceful shutdown on SIGTERM, SIGINT and SIGUSR1.

The first signal raises `Stopped` at the current statement, or at the end of
the current `deferred` block. A second signal kills the process.
"""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

# Exit codes as in a shell. Schedulers send SIGUSR1 to announce a SIGTERM, so
# both have the same code.
_EXIT_CODES = {
  signal.SIGTERM: 143,
  signal.SIGUSR1: 143,
  signal.SIGINT: 130,
}


class Stopped(BaseException):
  """Raised by a signal; not an `Exception`, so that libraries do not catch it.

  Attributes:
    exit_code: Exit code for the program.
  """

  def __init__(self, number: int):
    super().__init__(f'stopped by {signal.Signals(number).name}')
    self.exit_code = _EXIT_CODES[signal.Signals(number)]


class _State:
  """State of the process; signals exist once per process."""

  received: int | None = None
  deferring: bool = False


@contextlib.contextmanager
def installed() -> Iterator[None]:
  """Installs the signal handlers for a block of the main thread."""
  _State.received, _State.deferring = None, False
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
  if not _State.deferring:
    raise Stopped(number)


def check() -> None:
  """Raises `Stopped` again if a library caught the one that a signal raised."""
  if _State.received is not None and not _State.deferring:
    raise Stopped(_State.received)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
  """Defers `Stopped` from a signal within a block to the end of the block."""
  _State.deferring = True
  try:
    yield
  finally:
    _State.deferring = False
  check()
