"""One writer a folder."""

import contextlib
import fcntl
import json
import os
import pathlib
import socket
import sys
import time
from collections.abc import Iterator

from vae_jax import files
from vae_jax.errors import UserError

NAME = '.lock'
_MOST_BYTES = 2**16


@contextlib.contextmanager
def claim(folder: pathlib.Path) -> Iterator[None]:
  """Keeps every other process from writing to a run's folder.

  The kernel lets go of the lock when its process ends, however it ends: a
  file left behind by one that was killed holds up nobody.

  Raises:
    UserError: another process, which is named, writes there now.
    OSError: the file system has no locks, or refuses the file.
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
  """Returns who holds the lock, in words."""
  try:
    owner = json.loads(files.read_text(path, most=_MOST_BYTES))
    return (
      f'process {owner["pid"]} on {owner["host"]} ({owner["command"]}, since '
      f'{owner["since"]})'
    )
  except (UserError, ValueError, KeyError, TypeError, RecursionError):
    return 'another process'
