"""Images on disk, read by random access instead of held in memory."""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np

from vae_jax.data.memory import check_fits
from vae_jax.data.read_ahead import read_ahead

# Bytes that a pass over all examples takes at a time.
_CHUNK_BYTES = 2**24
# Rows are numbered in 32 bits, here and in the permutation of an epoch.
MAX_EXAMPLES = 2**31 - 1


class Rows(NamedTuple):
  """Examples in memory, as `Split`: images `[n, ...]`, labels, y and mask."""

  x: np.ndarray
  labels: np.ndarray | None
  y: np.ndarray | None = None
  mask: np.ndarray | None = None


class Streamed:
  """Images on disk that are read when they are indexed, `x[rows]`.

  It takes the place of a uint8 array `[N, ...]` where only `shape`, `dtype`,
  `len` and rows by slice or by number are asked for.

  Attributes:
    shape: as of the array.
    dtype: uint8.
  """

  dtype = np.dtype(np.uint8)

  def __init__(
    self,
    read: Callable[[np.ndarray], Rows],
    shape: tuple[int, ...],
    rows: np.ndarray | None = None,
  ) -> None:
    """Describes images on disk.

    Args:
      read: row numbers on disk `[n]`, in any order -> their examples; called
        from several threads.
      shape: shape of all images, `(N, ...)`.
      rows: row on disk of each image, `[N]`; None for all rows in order.
    """
    self._read, self.shape, self._rows = read, shape, rows

  def __len__(self) -> int:
    return self.shape[0]

  @property
  def ndim(self) -> int:
    """Number of axes."""
    return len(self.shape)

  @property
  def size(self) -> int:
    """Number of pixels of all images."""
    return int(np.prod(self.shape, dtype=np.int64))

  @property
  def nbytes(self) -> int:
    """Bytes of the array."""
    return self.size

  def read(self, rows: slice | np.ndarray) -> Rows:
    """Reads images and labels.

    Raises:
      ReadError: a file is missing, damaged or has changed.
    """
    if isinstance(rows, slice):
      rows = np.arange(*rows.indices(len(self)))
    return self._read(rows if self._rows is None else self._rows[rows])

  def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
    return self.read(rows).x

  def take(self, rows: np.ndarray) -> 'Streamed':
    """Returns some images in another order; none is read."""
    rows = rows.astype(np.int32)
    rows = rows if self._rows is None else self._rows[rows]
    return Streamed(self._read, (len(rows), *self.shape[1:]), rows)

  def map(
    self, function: Callable[[Rows], Rows], shape: tuple[int, ...]
  ) -> 'Streamed':
    """Returns images that a function changes when they are read.

    Args:
      function: images and labels `[n]` -> the same number of both.
      shape: shape of one changed image.
    """
    read = lambda rows: function(self._read(rows))
    return Streamed(read, (len(self), *shape), self._rows)


Examples: TypeAlias = np.ndarray | Streamed


class Split(NamedTuple):
  """Examples of one split.

  Attributes:
    x: Images, uint8 `[N, H, W, C]` from black 0 to white 255, in memory or on
      disk; or vectors, float32 `[N, D]`.
    labels: Labels, int `[N]`; None for unlabelled data, and for images on
      disk, whose labels are read with them.
    y: Conditions given beside the labels, classes `[N]` or covariates
      `[N, D]`; None without them.
    mask: Which numbers of x are observed, bool of the shape of x; None if all
      are.
  """

  x: Examples
  labels: np.ndarray | None
  y: np.ndarray | None = None
  mask: np.ndarray | None = None

  def take(self, rows: slice | np.ndarray) -> 'Split':
    """Returns the split of some examples."""
    if isinstance(self.x, Streamed):
      if isinstance(rows, slice):
        rows = np.arange(*rows.indices(len(self.x)))
      return Split(self.x.take(rows), None)
    return Split(*(None if part is None else part[rows] for part in self))  # type: ignore[arg-type]


def chunks(x: Examples) -> Iterator[Rows]:
  """Yields all examples in order, in chunks that fit in memory."""
  yield from (_chunk(x, i) for i in range(_num_chunks(x)))


def chunks_ahead(x: Streamed) -> Iterator[Rows]:
  """Yields the same chunks, read in the background."""
  return read_ahead(functools.partial(_chunk, x), 0, _num_chunks(x))


def _num_chunks(x: Examples) -> int:
  return -(-len(x) // _per_chunk(x))


def _per_chunk(x: Examples) -> int:
  return max(1, _CHUNK_BYTES * len(x) // max(x.nbytes, 1))


def _chunk(x: Examples, number: int) -> Rows:
  size = _per_chunk(x)
  rows = slice(number * size, (number + 1) * size)
  return x.read(rows) if isinstance(x, Streamed) else Rows(x[rows], None)


def in_memory(where: str, split: Split) -> Rows:
  """Reads all examples of a split.

  Args:
    where: name of the split in messages.
    split: images on disk, or a split in memory, which is not copied.

  Raises:
    UserError: the images exceed the memory of this machine.
  """
  if not isinstance(split.x, Streamed):
    return Rows(*split)  # type: ignore[arg-type]
  check_fits(where, split.x.nbytes)
  x, labels, start = np.empty(split.x.shape, split.x.dtype), [], 0
  for part in chunks(split.x):
    x[start : start + len(part.x)] = part.x
    start += len(part.x)
    labels += [] if part.labels is None else [part.labels]
  return Rows(x, np.concatenate(labels) if labels else None)
