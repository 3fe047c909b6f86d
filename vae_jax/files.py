"""Files that a crash does not halve and that no link leads elsewhere.

A run's folder may come from a stranger: its own names are opened without
following a symbolic link at the end of the path, and only regular files are
read or appended to.
"""

import errno
import io
import os
import pathlib
import stat
from typing import BinaryIO

from vae_jax.errors import UserError

# A pipe must not make the opening wait for its other end.
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_to_read(path: pathlib.Path) -> io.BufferedReader:
  """Opens a regular file.

  Raises:
    UserError: it is missing, a symbolic link, no regular file, or unreadable.
  """
  return os.fdopen(_open(path, os.O_RDONLY, 'read'), 'rb')


def read_text(path: pathlib.Path, *, most: int | None = None) -> str:
  """Returns the content of a UTF-8 file of at most `most` bytes.

  Raises:
    UserError: as `open_to_read`; too large; not UTF-8.
  """
  with open_to_read(path) as file:
    size = os.fstat(file.fileno()).st_size
    if most is not None and size > most:
      raise UserError(f'{path}: has {size} bytes, {most} are the most it may')
    try:
      return file.read().decode()
    except UnicodeDecodeError as error:
      raise UserError(f'{path}: damaged (no UTF-8: {error.reason})') from None


def write(path: pathlib.Path, content: bytes) -> None:
  """Replaces a file at once, the content on the disk, or not at all.

  Raises:
    OSError: the disk refuses; what was there before is still whole.
  """
  temporary = path.with_name(f'.{path.name}.tmp')
  temporary.unlink(missing_ok=True)
  created = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY
  try:
    with os.fdopen(os.open(temporary, created, 0o666), 'wb') as file:
      file.write(content)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise
  sync_folder(path.parent)


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes a text as `write` does, in UTF-8."""
  write(path, text.encode())


def append_line(path: pathlib.Path, line: str) -> None:
  """Appends a line in one piece, after dropping one that a crash cut short.

  Raises:
    UserError: a symbolic link, or no regular file.
    OSError: the disk refuses; the lines before are still whole.
  """
  flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
  with os.fdopen(_open(path, flags, 'written to'), 'r+b', buffering=0) as file:
    end = _end_of_lines(file)
    file.truncate(end)
    content = f'{line}\n'.encode()
    try:
      written = file.write(content)
      if written != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    except BaseException:
      file.truncate(end)
      raise


def open_to_lock(path: pathlib.Path) -> BinaryIO:
  """Opens a regular file, made if it is missing, for reading and writing.

  Raises:
    UserError: a symbolic link, or no regular file.
    OSError: the disk refuses.
  """
  descriptor = _open(path, os.O_RDWR | os.O_CREAT, 'written to')
  return os.fdopen(descriptor, 'r+b', buffering=0)


def make_folder(path: pathlib.Path) -> None:
  """Makes a folder in one that is there.

  Raises:
    UserError: `path` is a symbolic link or a file.
    OSError: the disk refuses, or the folder above is gone.
  """
  check_folder(path)
  path.mkdir(exist_ok=True)


def check_folder(path: pathlib.Path) -> None:
  """Raises `UserError` if `path` is a symbolic link or a file."""
  if path.is_symlink() or (path.exists() and not path.is_dir()):
    what = 'a symbolic link' if path.is_symlink() else 'a file'
    raise UserError(f'{path}: is {what}, must be a folder')


def sync(path: pathlib.Path) -> None:
  """Waits until the content of a file is on the disk."""
  with open_to_read(path) as file:
    os.fsync(file.fileno())


def sync_folder(path: pathlib.Path) -> None:
  """Waits until the names in a folder are on the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def _open(path: pathlib.Path, flags: int, what: str) -> int:
  try:
    descriptor = os.open(path, flags | _SAFELY, 0o666)
  except OSError as error:
    if error.errno in (errno.ENOSPC, errno.EROFS):
      raise
    link = error.errno == errno.ELOOP
    reason = 'it is a symbolic link' if link else error.strerror
    raise UserError(f'{path}: cannot be {what} ({reason})') from None
  if not stat.S_ISREG(os.fstat(descriptor).st_mode):
    os.close(descriptor)
    raise UserError(f'{path}: is no regular file')
  return descriptor


def _end_of_lines(file: BinaryIO) -> int:
  """Returns where the last whole line ends."""
  end = file.seek(0, os.SEEK_END)
  while end:
    start = max(0, end - 4096)
    file.seek(start)
    newline = file.read(end - start).rfind(b'\n')
    if newline >= 0:
      return start + newline + 1
    end = start
  return 0
