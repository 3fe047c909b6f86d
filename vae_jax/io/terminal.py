"""Standard streams of a command: always open, and free of terminal escapes."""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

from vae_jax.errors import printable

# How several progress bars, such as those of a download, change the line.
_MOVES = re.compile(r'(\n|\x1b\[A)+')


class _Printable:
  """A text stream that escapes control characters but those in `kept`."""

  def __init__(self, stream: Any, kept: str):
    self._stream, self._kept = stream, kept

  def write(self, text: str) -> int:
    if not _MOVES.fullmatch(text):
      text = printable(text, self._kept)
    self._stream.write(text)
    return len(text)

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)


@contextlib.contextmanager
def streams() -> Iterator[None]:
  """Opens closed standard streams; escapes control characters that are printed.

  Names in a file from an untrusted source could otherwise steer the terminal.
  A progress bar on stderr needs the carriage return.
  """
  for name in ('stdin', 'stdout', 'stderr'):
    if getattr(sys, name) is None:
      # Takes the lowest free descriptor, that of the closed stream: otherwise
      # what a library logs to it would go into the next file that is opened.
      mode = 'r' if name == 'stdin' else 'w'
      setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
  before = sys.stdout, sys.stderr
  for stream in before:
    if hasattr(stream, 'reconfigure'):
      stream.reconfigure(errors='backslashreplace')
  sys.stdout, sys.stderr = (
    cast(TextIO, _Printable(stream, kept))
    for stream, kept in zip(before, ('\n\t', '\n\t\r'), strict=True)
  )
  try:
    yield
  finally:
    sys.stdout, sys.stderr = before


def print_error(line: str) -> None:
  """Prints a line on stderr, if there still is a reader."""
  with contextlib.suppress(OSError, ValueError):
    print(printable(line), file=sys.stderr, flush=True)


def flush_stdout() -> None:
  """Flushes stdout; discards the text, also later text, if it is refused."""
  try:
    sys.stdout.flush()
  except (OSError, ValueError):
    with contextlib.suppress(OSError, ValueError):
      os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
