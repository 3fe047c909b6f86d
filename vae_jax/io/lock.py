"""Lock of a folder: one writing process at a time."""

import contextlib
import fcntl
import json
import os
import pathlib
import socket
import sys
import time
from collections.abc import Iterator

from vae_jax.errors import UserError
from vae_jax.io import files

NAME = '.lock'
_MAX_BYTES = 2**16


@contextlib.contextmanager
def claim(folder: pathlib.Path) -> Iterator[None]:
  """Locks a run's folder against other writing processes.

  The kernel releases the lock when the process ends, also if it is killed. The
  file remains and does not lock the folder.

  Raises:
    UserError: Another process holds the lock; the message identifies it.
    OSError: The file system does not support locks, or the lock file cannot
      be created.
  """
  path = folder / NAME
  with files.open_to_lock(path) as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise UserError(
        f'{folder}: {_owner(path)} writes there now: wait for it, stop it, or '
        'give another --workdir'
      ) from None
    owner = {
      'pid': os.getpid(),
      'host': socket.gethostname(),
      'command': ' '.join(sys.argv)[:200],
      'since': time.strftime('%Y-%m-%d %H:%M:%S'),
    }
    file.truncate(0)
    file.write(json.dumps(owner).encode())
    yield


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
