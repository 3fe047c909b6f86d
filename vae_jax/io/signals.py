"""Graceful shutdown on SIGTERM, SIGINT, SIGHUP and SIGUSR1.

The first signal raises `Stopped` at the current statement, or at the end of
the current `deferred` block. A second signal kills the process, unless it is
SIGHUP.
"""

import atexit
import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

# Exit codes as in a shell. Schedulers send SIGUSR1 to announce a SIGTERM, so
# both have the same code.
_EXIT_CODES = {
  signal.SIGTERM: 143,
  signal.SIGUSR1: 143,
  signal.SIGINT: 130,
  # The terminal is gone, such as that of a dropped ssh connection.
  signal.SIGHUP: 129,
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
  """Installs the signal handlers for a block of the main thread.

  SIGHUP stays ignored if it is, as under nohup.
  """
  _State.received, _State.deferring = None, False
  before = {
    each: signal.signal(each, _handle)
    for each in _EXIT_CODES
    if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN
  }
  hook = sys.unraisablehook
  sys.unraisablehook = lambda x: None if _is_stopped(x) else hook(x)
  # Python prints a traceback if SIGINT arrives while it exits.
  atexit.register(signal.signal, signal.SIGINT, signal.SIG_DFL)
  try:
    yield
  finally:
    # The block is complete: a signal now ends nothing.
    _State.deferring = True
    _State.received = None
    sys.unraisablehook = hook
    for each, handler in before.items():
      signal.signal(each, handler)


def _is_stopped(unraisable: Any) -> bool:
  """Returns whether Python swallowed `Stopped`; `check` raises it again."""
  return issubclass(unraisable.exc_type, Stopped)


def _handle(number: int, frame: FrameType | None) -> None:
  del frame
  for each in _EXIT_CODES:
    # A closing terminal may send SIGHUP twice: from the shell, and its own.
    is_hangup = each == signal.SIGHUP
    signal.signal(each, signal.SIG_IGN if is_hangup else signal.SIG_DFL)
  _State.received = number
  if not _State.deferring:
    raise Stopped(number)


def received() -> int | None:
  """Returns the number of a signal that asked the program to end, or None."""
  return _State.received


def check() -> None:
  """Raises `Stopped` again if a library caught the one that a signal raised."""
  if _State.received is not None and not _State.deferring:
    raise Stopped(_State.received)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
  """Defers `Stopped` from a signal within a block to the end of the block.

  A block within another one ends nothing.
  """
  before, _State.deferring = _State.deferring, True
  try:
    yield
  finally:
    _State.deferring = before
  check()
