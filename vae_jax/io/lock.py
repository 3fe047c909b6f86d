"""Lock of a folder: one writing process at a time."""

import contextlib
import fcntl
import json
import logging
import os
import pathlib
import socket
import sys
import time
from collections.abc import Iterator
from typing import BinaryIO

from vae_jax.errors import UserError
from vae_jax.io import files

NAME = '.lock'
_MAX_BYTES = 2**16
_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def claim(folder: pathlib.Path) -> Iterator[None]:
  """Locks a run's folder against other writing processes, and holds it.

  The kernel releases the lock when the process ends, also if it is killed. The
  file remains and does not lock the folder. A file system without locks only
  has a warning. `files.hold` refuses writes after the folder was moved.

  Raises:
    UserError: Another process holds the lock; the message identifies it.
    WriteError: The lock file cannot be created or written.
  """
  path = folder / NAME
  with files.open_to_lock(path) as file:
    _lock(file, folder)
    if not files.leads_to(path, file.fileno()):
      raise UserError(
        f'{folder}: another process has just left it. Run the command again'
      )
    with files.hold(folder):
      with files.writing(path):
        file.truncate(0)
        file.write(_description())
      yield


def _lock(file: BinaryIO, folder: pathlib.Path) -> None:
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    raise UserError(
      f'{folder}: {_owner(folder / NAME)} writes there now: wait for it, stop '
      'it, or give another --workdir'
    ) from None
  except OSError as error:
    if error.errno not in files.UNSUPPORTED:
      raise files.WriteError(
        error.errno, error.strerror, str(folder / NAME)
      ) from None
    _logger.warning(
      'warning: %s: its file system has no locks (%s): let no second process '
      'write there',
      *(folder, error.strerror),
    )


def _description() -> bytes:
  """Describes this process for the message of a second one."""
  owner = {
    'pid': os.getpid(),
    'host': socket.gethostname(),
    'command': ' '.join(sys.argv)[:200],
    'since': time.strftime('%Y-%m-%d %H:%M:%S'),
  }
  return json.dumps(owner).encode()


def _owner(path: pathlib.Path) -> str:
  """Describes the process that holds the lock."""
  try:
    owner = json.loads(files.read_text(path, max_bytes=_MAX_BYTES))
    return (
      f'process {owner["pid"]} on {owner["host"]} ({owner["command"]}, since '
      f'{owner["since"]})'
    )
  except (UserError, ValueError, KeyError, TypeError, RecursionError):
    return 'another process'
