"""Rows of .npy files by random access, without memory maps."""

import itertools
import math
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vae_jax.errors import ReadError, UserError

_HEADERS = {
  1: np.lib.format.read_array_header_1_0,
  2: np.lib.format.read_array_header_2_0,
}
# Rows that are as close as this on disk are read at once.
_MAX_GAP, _MAX_READ = 2**14, 2**22
# What NumPy and the largest file can hold.
_MAX_AXES, _MAX_NUMBERS = 64, 2**63
_AGAIN = 'Restore the file, and run the same command again'


class Shard(NamedTuple):
  """One .npy file and where its rows are.

  Attributes:
    path: the file.
    shape: shape of its array.
    dtype: dtype of its array.
    offset: bytes before the array.
    stamp: size and time of modification when the header was read.
  """

  path: pathlib.Path
  shape: tuple[int, ...]
  dtype: np.dtype
  offset: int
  stamp: tuple[int, int]

  @property
  def row_bytes(self) -> int:
    """Bytes of one row."""
    return math.prod(self.shape[1:]) * self.dtype.itemsize


def read_header(path: pathlib.Path) -> Shard:
  """Raises `UserError` unless the file is whole and by rows."""
  if not path.is_file():
    raise UserError(f'{path}: is not a regular file. Replace it')
  try:
    with path.open('rb') as file:
      major, _ = np.lib.format.read_magic(file)
      shape, by_columns, dtype = _HEADERS[major](file)
      _check_shape(shape)
      shard = Shard(path, shape, dtype, file.tell(), _stamp(file.fileno()))
  except OSError as error:
    raise UserError(f'{path}: cannot be read ({error.strerror})') from None
  # A damaged header makes NumPy and its parser raise many exceptions.
  except Exception as error:
    reason = ' '.join(str(error).split())[:200]
    raise UserError(
      f'{path}: damaged, or not written by np.save ({reason}). Save it again'
    ) from None
  if dtype.hasobject or min(shape, default=0) < 0 or not shape:
    raise UserError(
      f'{path}: got {dtype} {shape}, expected an array of numbers'
    )
  size = shard.offset + shape[0] * shard.row_bytes
  if shard.stamp[0] != size:
    raise UserError(
      f'{path}: got {shard.stamp[0]} bytes, expected {size} by its header: it '
      'is damaged. Save it again'
    )
  if by_columns and len(shape) > 1:
    raise UserError(
      f'{path}: got an array by columns, expected one by rows. Save '
      'np.ascontiguousarray(images)'
    )
  return shard


def _check_shape(shape: tuple[int, ...]) -> None:
  """Raises `ValueError` at a forged shape that no array can have."""
  if len(shape) > _MAX_AXES:
    raise ValueError(f'an array of {len(shape)} axes')
  # Python does not print a product of too many digits.
  if math.prod(max(1, abs(size)) for size in shape) > _MAX_NUMBERS:
    raise ValueError('an array of more than 2^63 numbers')


def read_rows(
  shards: Sequence[Shard], ends: np.ndarray, rows: np.ndarray
) -> np.ndarray:
  """Reads rows of many shards, each shard in the order of its bytes.

  Bytes are copied from the file: a memory map of a file that is truncated, or
  on a network file system that fails, would end the process with SIGBUS.
  """
  rows, first = rows.astype(np.int64), shards[0]
  out = np.empty((len(rows), *first.shape[1:]), first.dtype)
  order = np.argsort(rows, kind='stable')
  bounds = np.searchsorted(rows[order], ends)
  start = 0
  for shard, before, end in zip(shards, [0, *ends[:-1]], bounds, strict=True):
    if end > start:
      here = order[start:end]
      _read_shard(shard, rows[here] - before, out, here)
    start = end
  return out


def _read_shard(
  shard: Shard, rows: np.ndarray, out: np.ndarray, places: np.ndarray
) -> None:
  """Reads sorted rows of a shard into places of an array.

  Raises:
    ReadError: the file is missing or has changed since its header was read.
  """
  size = shard.row_bytes
  far = np.diff(rows) * size > _MAX_GAP
  far |= np.diff(rows * size // _MAX_READ) > 0
  starts = [0, *(np.flatnonzero(far) + 1).tolist(), len(rows)]
  try:
    descriptor = os.open(shard.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
      for a, b in itertools.pairwise(starts):
        low, count = int(rows[a]), int(rows[b - 1] - rows[a]) + 1
        content = os.pread(descriptor, count * size, shard.offset + low * size)
        near = np.frombuffer(content, shard.dtype)
        near = near.reshape(count, *shard.shape[1:])
        out[places[a:b]] = near[rows[a:b] - low] if b - a > 1 else near[0]
      is_same = _stamp(descriptor) == shard.stamp
    finally:
      os.close(descriptor)
  except OSError as error:
    reason = f'cannot be read ({error.strerror})'
    raise ReadError(f'{shard.path}: {reason}. {_AGAIN}') from None
  except ValueError:  # Fewer bytes than asked for.
    is_same = False
  if not is_same:
    raise ReadError(
      f'{shard.path}: has changed since the start of this command. {_AGAIN}'
    )


def _stamp(descriptor: int) -> tuple[int, int]:
  status = os.fstat(descriptor)
  return status.st_size, status.st_mtime_ns
