"""Missing data of a run: masks, and statistics of what is observed."""

import math

import numpy as np

from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.runs.config import Config


def mask_of(config: Config, split: data.Split | data.Rows) -> np.ndarray | None:
  """Returns which numbers of a split are observed, bool of the shape of x.

  Args:
    config: options of the run.
    split: the split as stored.

  Returns:
    The mask with --missing=mask, else None.

  Raises:
    UserError: missing data with --missing=refuse, data on disk with
      --missing=mask, or an example of which nothing is observed.
  """
  where = f'--dataset={config.data.dataset}'
  wanted = config.data.missing == 'mask'
  if isinstance(split.x, data.Streamed):
    if wanted:
      raise UserError(
        '--missing=mask: got training images on disk '
        f'(--stream={config.data.stream}), expected images in memory. Use '
        '--stream=never'
      )
    return None
  mask = split.mask
  if split.x.dtype.kind == 'f' and np.isnan(split.x).any():
    known = ~np.isnan(split.x)
    mask = known if mask is None else mask & known
  if not wanted:
    if mask is not None and not mask.all():
      instead = 'fill them'
      if split.mask is not None and not split.mask.all():
        instead = 'remove the array mask from the file'
      raise UserError(
        f'--missing=refuse: got {1 - np.mean(mask):.1%} missing data in a '
        f'split of {where}, expected none. Use --missing=mask, or {instead}'
      )
    return None
  mask = np.ones(split.x.shape, bool) if mask is None else mask
  empty = np.flatnonzero(~mask.reshape(len(mask), -1).any(axis=1))
  if len(empty):
    raise UserError(
      f'--missing=mask: got nothing observed of example {empty[0]} in a split '
      f'of {where}, expected something. Leave such examples out'
    )
  return mask


def filled(x: data.Examples) -> data.Examples:
  """Returns data with zeros in place of nan."""
  if isinstance(x, data.Streamed) or x.dtype.kind != 'f':
    return x
  missing = np.isnan(x)
  return np.where(missing, x.dtype.type(0), x) if missing.any() else x


def observed_mean(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """Returns the mean of the observed numbers, as `data.mean_example`.

  It is that of all observed numbers where one is never observed.
  """
  count, unit = mask.sum(axis=0), 255 if x.dtype == np.uint8 else 1
  total = np.where(mask, x, 0).sum(axis=0, dtype=float) / unit
  overall = total.sum() / count.sum()
  mean: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), overall)
  return mean


def observed_scale(x: np.ndarray, mask: np.ndarray) -> float:
  """Returns the standard deviation about that mean, of what is observed."""
  unit = 255 if x.dtype == np.uint8 else 1
  residuals = np.where(mask, x / unit - observed_mean(x, mask), 0)
  return math.sqrt(max(float(np.sum(residuals**2)) / mask.sum(), 1e-20))
