"""Command-line scripts; each parses flags and makes one library call."""

import contextlib
import logging
import os
import signal
import sys
from types import FrameType


def _stop(number: int, frame: FrameType | None) -> None:
  """Ends the process in one line, as `flags.run` does."""
  del frame
  with contextlib.suppress(OSError):
    os.write(2, f'stopped by {signal.Signals(number).name}\n'.encode())
  os._exit(128 + number)


# The name that `python -m experiments.train` has while it imports this file.
if sys.argv[0] == '-m':
  # The imports take seconds, and Ctrl-C would print where they were.
  for each in (signal.SIGINT, signal.SIGTERM):
    signal.signal(each, _stop)
  # launch.sh blocks it until here.
  signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
  # Without a home, its first two lines would advise on a folder for its cache.
  logging.getLogger('matplotlib').setLevel(logging.ERROR)
