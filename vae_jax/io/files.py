"""Atomic writes, and access to regular files only.

A run's folder may come from an untrusted source. Its files are opened without
following a symbolic link at the end of the path, and only regular files are
read or appended to.

A folder may be held: a write below its path is refused if the path no longer
leads to it, because then it would change the files of another run.
"""

import contextlib
import errno
import functools
import io
import logging
import os
import pathlib
import stat
from collections.abc import Iterator
from typing import BinaryIO

from vae_jax.errors import UserError

# O_NONBLOCK: opening a pipe does not wait for its other end.
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# What a file system answers that cannot do something at all.
UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
_logger = logging.getLogger(__name__)
# Path -> descriptor of each held folder.
_held: dict[pathlib.Path, int] = {}


class WriteError(OSError):
  """Raised by a write that the operating system refuses; names the file."""


@contextlib.contextmanager
def hold(folder: pathlib.Path) -> Iterator[None]:
  """Refuses writes below the path once it leads to another folder, or nowhere.

  The open descriptor also keeps the inode from being used again.

  Raises:
    WriteError: The folder cannot be opened.
  """
  with writing(folder):
    _held[folder] = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
  try:
    yield
  finally:
    os.close(_held.pop(folder))


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
  """Names the file that a block writes, where the system refuses.

  Raises:
    UserError: A held folder above the path was moved.
    WriteError: The block raised an `OSError`.
  """
  for folder, descriptor in _held.items():
    if folder in path.parents and not leads_to(folder, descriptor):
      raise UserError(
        f'{folder}: was moved, removed or replaced while this process used '
        f'it, so {path.name} is not written. Move it back, or give its new '
        'path, to continue from its last checkpoint'
      )
  try:
    yield
  except WriteError:
    raise
  except OSError as error:
    raise WriteError(error.errno, error.strerror, str(path)) from None


def leads_to(path: pathlib.Path, descriptor: int) -> bool:
  """Returns whether a path still leads to an open file or folder."""
  try:
    return os.path.samestat(path.stat(), os.fstat(descriptor))
  except OSError:
    return False


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
    UserError: A held folder was moved.
    WriteError: The file cannot be written; the previous file is unchanged.
  """
  temporary = path.with_name(f'.{path.name}.tmp')
  created = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY
  with writing(path):
    temporary.unlink(missing_ok=True)
    try:
      with os.fdopen(os.open(temporary, created, 0o666), 'wb') as file:
        file.write(content)
        file.flush()
        _flush(file.fileno(), path)
      os.replace(temporary, path)
    except BaseException:
      with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
      raise
  sync_folder(path.parent)


def write_text(path: pathlib.Path, text: str) -> None:
  """Replaces a file atomically with a text in UTF-8, as `write` does."""
  write(path, text.encode())


def rename(path: pathlib.Path, new: pathlib.Path) -> None:
  """Gives a file another name in its folder, atomically, as `write` does."""
  with writing(new):
    os.replace(path, new)
  sync_folder(new.parent)


def remove(path: pathlib.Path) -> None:
  """Removes a file, if it exists, as `write` does."""
  with writing(path):
    path.unlink(missing_ok=True)


def append_line(path: pathlib.Path, line: str) -> None:
  """Appends a line; removes an incomplete last line, left by a crash, first.

  Raises:
    UserError: The path is not a regular file, or a held folder was moved.
    WriteError: The line cannot be written; the previous lines are unchanged.
  """
  with writing(path), open_to_lock(path, os.O_APPEND) as file:
    end = _end_of_lines(file)
    file.truncate(end)
    content = f'{line}\n'.encode()
    try:
      written = file.write(content)
      if written != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except BaseException:
      with contextlib.suppress(OSError):
        file.truncate(end)
      raise


def open_to_lock(path: pathlib.Path, more_flags: int = 0) -> BinaryIO:
  """Opens a regular file to read and write; creates it if it is missing.

  Raises:
    UserError: The path is not a regular file.
    WriteError: The file cannot be opened or created.
  """
  with writing(path):
    flags = os.O_RDWR | os.O_CREAT | more_flags
    descriptor = _open(path, flags, 'written to')
    return os.fdopen(descriptor, 'r+b', buffering=0)


def make_folder(path: pathlib.Path, *, parents: bool = False) -> None:
  """Creates a folder, unless it exists.

  Args:
    path: The folder.
    parents: Whether to create missing folders above it.

  Raises:
    UserError: The path is a symbolic link or a file, or a held folder was
      moved.
    WriteError: The folder cannot be created, or its parent does not exist.
  """
  check_folder(path)
  with writing(path):
    path.mkdir(exist_ok=True, parents=parents)


def check_folder(path: pathlib.Path) -> None:
  """Raises `UserError` if the path is a symbolic link or a file."""
  if path.is_symlink() or (path.exists() and not path.is_dir()):
    what = 'a symbolic link' if path.is_symlink() else 'a file'
    raise UserError(f'{path}: is {what}, must be a folder')


def sync(path: pathlib.Path) -> None:
  """Flushes the content of a file to the disk."""
  with open_to_read(path) as file, writing(path):
    _flush(file.fileno(), path)


def sync_folder(path: pathlib.Path) -> None:
  """Flushes the entries of a folder to the disk."""
  with writing(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
      _flush(descriptor, path)
    finally:
      os.close(descriptor)


def _flush(descriptor: int, path: pathlib.Path) -> None:
  """Flushes to the disk; only warns, once, where that is not supported."""
  try:
    os.fsync(descriptor)
  except OSError as error:
    if error.errno not in UNSUPPORTED:
      raise
    _warn_unflushed(path.parent, error.strerror)


@functools.cache
def _warn_unflushed(folder: pathlib.Path, reason: str) -> None:
  _logger.warning(
    'warning: %s: its file system cannot flush files to the disk (%s): a power '
    'failure may lose the newest ones',
    *(folder, reason),
  )


def _open(path: pathlib.Path, flags: int, what: str) -> int:
  try:
    descriptor = os.open(path, flags | _SAFELY, 0o666)
  except OSError as error:
    if flags & os.O_CREAT and error.errno != errno.ELOOP:
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
