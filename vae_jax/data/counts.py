"""Counts: whole numbers of any integer dtype, as int32."""

from collections.abc import Mapping

import numpy as np

from vae_jax.data.split import Split, as_labels
from vae_jax.errors import UserError

# float32 represents every whole number up to it.
_MOST = 2**24


def make_count_splits(
  name: str, parts: Mapping[str, tuple[np.ndarray, np.ndarray | None]]
) -> dict[str, Split]:
  """Checks counts and returns them as int32.

  Args:
    name: name of the dataset in messages.
    parts: split -> (counts, labels). Counts are `[N, D]`, `[N, H, W]` or
      `[N, H, W, C]`; labels are `[N]` or `[N, 1]`, or None.

  Returns:
    Split -> its counts, `[N, D]` or `[N, H, W, C]`, and labels.

  Raises:
    UserError: there are no counts, some are not whole or negative or exceed
      2^24, the splits differ in size, or the labels do not fit.
  """
  splits: dict[str, Split] = {}
  for part, (own, labels) in parts.items():
    prefix = f'{part}_' if part else ''
    where = f'{name}: {prefix}counts'
    counts = as_counts(where, own)
    first = next(iter(splits.values()), None)
    if first is not None and first.x.shape[1:] != counts.shape[1:]:
      raise UserError(
        f'{where}: got the size {counts.shape[1:]} of an example, expected '
        f'{first.x.shape[1:]} as in the other splits. Store splits of one size'
      )
    if labels is not None:
      labels = as_labels(f'{name}: {prefix}labels', labels, len(counts))
    splits[part] = Split(counts, labels)
  return splits


def as_counts(where: str, x: np.ndarray) -> np.ndarray:
  """Returns counts as int32, `[N, D]` or `[N, H, W, C]`.

  Raises:
    UserError: another dtype or rank, no, negative or too large counts.
  """
  if x.dtype.kind == 'f' and (other := x[x != np.floor(x)]).size:
    raise UserError(
      f'{where}: got {other[0]:.6g}, expected whole numbers of an integer '
      'dtype. Store real numbers as images'
    )
  if x.dtype.kind not in 'iu':
    raise UserError(
      f'{where}: got dtype {x.dtype}, expected whole numbers of an integer '
      'dtype. Store counts.astype(int)'
    )
  if x.ndim not in (2, 3, 4) or not x.size:
    raise UserError(
      f'{where}: got shape {x.shape}, expected [N, D], [N, H, W] or '
      '[N, H, W, C] with N > 0'
    )
  low, high = int(x.min()), int(x.max())
  if low < 0 or high > _MOST:
    got = low if low < 0 else high
    raise UserError(
      f'{where}: got {got}, expected counts from 0 to {_MOST}. Store other '
      'numbers'
    )
  counts = x.astype(np.int32)
  return counts[..., None] if x.ndim == 3 else counts
