"""Atomic writes, and access to regular files only.

A run's folder may come from an untrusted source. Its files are opened without
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

# O_NONBLOCK: opening a pipe does not wait for its other end.
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_to_read(path: pathlib.Path) -> io.BufferedReader:
  """Opens a regular file to read bytes.

  Raises:
    UserError: The file is missing, unreadable or not a regular file.
  """
  return os.fdopen(_open(path, os.O_RDONLY, 'read'), 'rb')


def read_text(path: pathlib.Path, *, max_bytes: int | None = None) -> str:
  """Returns the content of a UTF-8 file.

  Args:
    path: File to read.
    max_bytes: Maximum size; None for any.

  Raises:
    UserError: The file is missing, unreadable, not a regular file, too large
      or not UTF-8.
  """
  with open_to_read(path) as file:
    size = os.fstat(file.fileno()).st_size
    if max_bytes is not None and size > max_bytes:
      raise UserError(f'{path}: has {size} bytes, expected at most {max_bytes}')
    try:
      return file.read().decode()
    except UnicodeDecodeError as error:
      raise UserError(f'{path}: damaged (not UTF-8: {error.reason})') from None


def write(path: pathlib.Path, content: bytes) -> None:
  """Replaces a file atomically, flushed to the disk.

  Args:
    path: File to write; a symbolic link is replaced, not followed.
    content: New content.

  Raises:
    OSError: The file cannot be written; the previous file is unchanged.
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
  """Replaces a file atomically with a text in UTF-8, as `write` does."""
  write(path, text.encode())


def append_line(path: pathlib.Path, line: str) -> None:
  """Appends a line; removes an incomplete last line, left by a crash, first.

  Raises:
    UserError: The path is not a regular file.
    OSError: The line cannot be written; the previous lines are unchanged.
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
  """Opens a regular file to read and write; creates it if it is missing.

  Raises:
    UserError: The path is not a regular file.
    OSError: The file cannot be created.
  """
  descriptor = _open(path, os.O_RDWR | os.O_CREAT, 'written to')
  return os.fdopen(descriptor, 'r+b', buffering=0)


def make_folder(path: pathlib.Path) -> None:
  """Creates a folder, unless it exists, in an existing folder.

  Raises:
    UserError: The path is a symbolic link or a file.
    OSError: The folder cannot be created, or its parent does not exist.
  """
  check_folder(path)
  path.mkdir(exist_ok=True)


def check_folder(path: pathlib.Path) -> None:
  """Raises `UserError` if the path is a symbolic link or a file."""
  if path.is_symlink() or (path.exists() and not path.is_dir()):
    what = 'a symbolic link' if path.is_symlink() else 'a file'
    raise UserError(f'{path}: is {what}, must be a folder')


def sync(path: pathlib.Path) -> None:
  """Flushes the content of a file to the disk."""
  with open_to_read(path) as file:
    os.fsync(file.fileno())


def sync_folder(path: pathlib.Path) -> None:
  """Flushes the entries of a folder to the disk."""
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
    raise UserError(f'{path}: is not a regular file')
  return descriptor


def _end_of_lines(file: BinaryIO) -> int:
  """Returns the offset of the end of the last complete line."""
  end = file.seek(0, os.SEEK_END)
  while end:
    start = max(0, end - 4096)
    file.seek(start)
    newline = file.read(end - start).rfind(b'\n')
    if newline >= 0:
      return start + newline + 1
    end = start
  return 0
