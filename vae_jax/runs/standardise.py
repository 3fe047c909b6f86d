"""Standardisation of real numbers by statistics of the training split."""

from typing import Any, NamedTuple

import numpy as np

from vae_jax import data
from vae_jax.errors import UserError

# Numbers of the statistics that config.json holds, at most.
_MOST = 10000


class Statistics(NamedTuple):
  """Mean and standard deviation of the training split.

  Attributes:
    mean: mean of each column of a table `[N, D]`, or each channel of images
      `[N, H, W, C]`; float32.
    scale: standard deviation, of the same shape; 1 where all examples are
      equal.
  """

  mean: np.ndarray
  scale: np.ndarray

  def apply(self, x: np.ndarray) -> np.ndarray:
    """Returns (x - mean) / scale in float32."""
    return ((x - self.mean) / self.scale).astype(np.float32)

  def undo(self, x: Any) -> Any:
    """Returns x * scale + mean."""
    return x * self.scale + self.mean

  def record(self) -> dict[str, list[float]]:
    """Returns the numbers as config.json holds them, exact in float32."""
    return {
      name: x.astype(float).tolist() for name, x in self._asdict().items()
    }


def statistics_of(
  name: str, x: data.Examples, mask: np.ndarray | None = None
) -> Statistics:
  """Computes the statistics of a training split.

  Args:
    name: name of the data set in messages.
    x: training examples as stored; NaN is missing.
    mask: which numbers are observed, of the shape of x; None for all. Those
      that are not leave the statistics.

  Raises:
    UserError: x are 8-bit pixels, or have too many columns.
  """
  if isinstance(x, data.Streamed) or x.dtype == np.uint8:
    raise UserError(
      f'--standardise: got --dataset={name} of 8-bit pixels, expected real '
      'numbers. Leave --standardise out: pixels are scaled to [0, 1]'
    )
  if x.shape[-1] > _MOST:
    raise UserError(
      f'--standardise: got {x.shape[-1]} columns in --dataset={name}, expected '
      f'at most {_MOST}. Standardise them in the file'
    )
  axes = tuple(range(x.ndim - 1))
  if mask is not None:
    x = np.where(mask, x, np.float32(np.nan))
  average, lowest, highest = np.mean, np.min, np.max
  if np.isnan(x).any():
    # A column of which nothing is observed is constant.
    x = np.where(np.isnan(x).all(axis=axes), np.float32(0), x)
    average, lowest, highest = np.nanmean, np.nanmin, np.nanmax
  mean = average(x, axis=axes, dtype=np.float64).astype(np.float32)
  centred = x - mean
  scale = np.sqrt(average(np.square(centred, dtype=np.float64), axis=axes))
  # Equal numbers have no spread; what is left of them is rounding.
  low = lowest(x, axis=axes)
  is_constant = low == highest(x, axis=axes)
  scale = np.where(is_constant | (scale == 0), 1, scale).astype(np.float32)
  return Statistics(np.where(is_constant, low, mean), scale)


def read_statistics(content: Any) -> Statistics | None:
  """Reads what `record` returned; None where a run has none.

  Raises:
    UserError: other content.
  """
  if content is None:
    return None
  try:
    mean, scale = (
      np.array(content[name], np.float32) for name in Statistics._fields
    )
    good = mean.ndim == 1 and mean.shape == scale.shape and np.all(scale > 0)
    if not good or not np.all(np.isfinite([mean, scale])):
      raise ValueError('other shapes')
  except (TypeError, ValueError, KeyError, OverflowError):
    raise UserError(
      f'statistics: got {str(content)[:80]}, expected mean and scale'
    ) from None
  return Statistics(mean, scale)


def apply(statistics: Statistics | None, split: Any) -> Any:
  """Returns a split, or rows in memory, with standardised x."""
  if statistics is None:
    return split
  return split._replace(x=statistics.apply(split.x))


def describe(statistics: Statistics) -> str:
  """Returns a line on the statistics."""
  span = lambda x: f'{x.min():.3g} to {x.max():.3g}'
  return (
    f'x is standardised by the training split: mean {span(statistics.mean)}, '
    f'standard deviation {span(statistics.scale)} over '
    f'{len(statistics.mean)} columns or channels'
  )
