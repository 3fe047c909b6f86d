"""Statistics and digests of all examples, computed in chunks."""

import functools
import hashlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from vae_jax.data.streamed import (
  Examples,
  Split,
  Streamed,
  chunks,
  chunks_ahead,
)

# Sum and sum of squares over images, int64 `[...]`.
_Moments = tuple[Any, Any]


class _Facts(NamedTuple):
  """Facts of images on disk, from one pass over all of them.

  Attributes:
    digest: SHA-256 of the split, in hexadecimal.
    moments: sum and sum of squares over the images.
    num_grey: number of pixels that are neither black nor white.
  """

  digest: str
  moments: _Moments
  num_grey: int


def mean_example(x: Examples) -> np.ndarray:
  """Returns the mean over the examples `[N, ...]`; of pixels in [0, 1]."""
  if isinstance(x, Streamed):
    return _facts(x).moments[0] / len(x) / 255
  mean = np.mean(x, axis=0)
  return mean / 255 if x.dtype == np.uint8 else mean


def scale_about_mean(x: Examples) -> float:
  """Returns the standard deviation of the examples about their mean example.

  It is the scale at which a normal distribution about that mean has the
  highest likelihood; for pixels in [0, 1], dequantised.
  """
  if isinstance(x, np.ndarray) and x.dtype != np.uint8:
    mean, starts = mean_example(x), range(0, len(x), 1000)
    total = sum(np.sum((x[i : i + 1000] - mean) ** 2) for i in starts)
    variance = float(total) / x.size
  else:
    # Sums of integers are exact, and equal in memory and on disk.
    sums, squares = _moments_of(x)
    residuals = squares - np.square(sums, dtype=float) / len(x)
    variance = float(np.sum(residuals)) / 255**2 / x.size + 1 / 12 / 256**2
  # Equal examples have no bounded density.
  return math.sqrt(max(variance, 1e-20))


def grey_share(x: Examples) -> float:
  """Returns the share of the pixels that are neither black nor white."""
  if isinstance(x, Streamed):
    count = _facts(x).num_grey
  else:
    count = sum(_num_grey(part.x) for part in chunks(x))
  return count / x.size


def digest(split: Split, *, is_drawn: bool = False) -> str:
  """Returns a digest of the examples of a split, SHA-256 in hexadecimal.

  It covers dtype, shape and bytes, so that it changes with the data and with
  everything that is done to them on reading.

  Args:
    split: examples and labels.
    is_drawn: whether the examples are real numbers that were drawn here: their
      last bit differs between machines, and only their shape counts.
  """
  x = split.x
  if isinstance(x, Streamed):
    return _facts(x).digest
  found = _start_digest(x)
  if not is_drawn:
    found.update(np.ascontiguousarray(x).data)
    _add_labels(found, [] if split.labels is None else [split.labels])
  for each in (split.y, split.mask):
    if each is not None:
      found.update(repr((each.dtype.str, each.shape)).encode())
      found.update(np.ascontiguousarray(each).data)
  return found.hexdigest()


@functools.lru_cache(maxsize=4)
def _facts(x: Streamed) -> _Facts:
  """Takes one pass over images on disk, which may take as long as an epoch."""
  found, labels, num_grey = _start_digest(x), [], 0
  moments: _Moments = (np.int64(0), np.int64(0))
  for part in chunks_ahead(x):
    found.update(np.ascontiguousarray(part.x).data)
    labels += [] if part.labels is None else [part.labels]
    moments = _add(moments, _moments(part.x))
    num_grey += _num_grey(part.x)
  _add_labels(found, labels)
  return _Facts(found.hexdigest(), moments, num_grey)


def _start_digest(x: Examples) -> Any:
  return hashlib.sha256(repr((x.dtype.str, x.shape)).encode())


def _add_labels(found: Any, labels: list[np.ndarray]) -> None:
  """Adds the list of all labels as text, chunk by chunk."""
  if labels:
    found.update(', '.join(_texts(labels)).join('[]').encode())


def _texts(labels: list[np.ndarray]) -> Iterator[str]:
  for part in labels:
    if len(part):
      yield repr(part.tolist())[1:-1]


def _moments_of(x: Examples) -> _Moments:
  if isinstance(x, Streamed):
    return _facts(x).moments
  sums = (_moments(part.x) for part in chunks(x))
  return functools.reduce(_add, sums)


def _add(a: _Moments, b: _Moments) -> _Moments:
  return a[0] + b[0], a[1] + b[1]


def _moments(x: np.ndarray) -> _Moments:
  squares = np.square(x, dtype=np.uint16)  # 255^2 fits.
  return x.sum(axis=0, dtype=np.int64), squares.sum(axis=0, dtype=np.int64)


def _num_grey(x: np.ndarray) -> int:
  return int(np.count_nonzero((x != 0) & (x != 255)))
