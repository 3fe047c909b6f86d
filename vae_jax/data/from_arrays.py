"""Splits from arrays of any dtype and shape that a file holds."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from vae_jax.data.beside import KINDS, attach
from vae_jax.data.numbers import judge
from vae_jax.data.split import (
  MIN_EXAMPLES,
  Split,
  as_labels,
  cut_test,
  make_splits,
)
from vae_jax.data.transform import Transform, shape_rows
from vae_jax.errors import UserError

# Is called with a sentence on what is done to the numbers.
Tell: TypeAlias = Callable[[str], None]
# Split -> (examples, labels or None); '' is a whole that is still to be split.
Parts: TypeAlias = Mapping[str, tuple[np.ndarray, np.ndarray | None]]
# Split -> arrays by their kind, 'y' and 'mask'.
Beside: TypeAlias = Mapping[str, Mapping[str, np.ndarray]]


def no_one(line: str) -> None:
  """Takes no notice of a sentence."""


def from_arrays(
  name: str,
  parts: Parts,
  transform: Transform,
  tell: Tell,
  beside: Beside | None = None,
  needed: Sequence[str] = KINDS,
) -> dict[str, Split]:
  """Makes splits of images `[N, H, W, C]` or of a table `[N, D]`.

  Args:
    name: name of the data in messages.
    parts: 'train', 'test' and perhaps 'validation'; or '' alone.
    transform: has the shape of the images, perhaps in rows.
    tell: is called with each sentence of `judge`.
    beside: split -> its conditions 'y' and 'mask'; None for none.
    needed: as for `attach`.

  Raises:
    UserError: fewer than a dozen examples, or numbers, shapes or labels that
      do not fit.
  """
  key = lambda part, kind='images': f'{part}_{kind}' if part else kind
  shaped = {
    key(part): shape_rows(f'{name}: {key(part)}', x, transform.image_shape)
    for part, (x, _) in parts.items()
  }
  judged = judge(name, shaped)
  for line in judged.words:
    tell(f'{name}: {line}')
  examples = {part: judged.arrays[key(part)] for part in parts}
  labels = {part: own for part, (_, own) in parts.items()}
  if all(x.ndim > 2 for x in examples.values()):
    pairs = {part: (x, labels[part]) for part, x in examples.items()}
    stated = bool(transform.image_shape)
    splits = make_splits(name, pairs, is_channels_last=stated)
  else:
    _check_widths(name, {key(part): x for part, x in examples.items()})
    splits = {
      part: Split(x, _labels(f'{name}: {key(part, "labels")}', labels[part], x))
      for part, x in examples.items()
    }
  if beside is not None:
    splits = attach(name, splits, beside, needed)
  count = sum(len(split.x) for split in splits.values())
  if '' in splits:
    return cut_test(name, splits[''])
  if count < MIN_EXAMPLES:
    raise UserError(
      f'{name}: has {count} examples in all splits, expected at least '
      f'{MIN_EXAMPLES}. Use more'
    )
  return splits


def _labels(
  where: str, labels: np.ndarray | None, x: np.ndarray
) -> np.ndarray | None:
  return None if labels is None else as_labels(where, labels, len(x))


def _check_widths(name: str, arrays: Mapping[str, np.ndarray]) -> None:
  """Raises `UserError` where tables differ in their columns."""
  (first, x), *others = arrays.items()
  for key, other in others:
    if other.shape[1:] != x.shape[1:]:
      raise UserError(
        f'{name}: {key} have shape {other.shape}, expected '
        f'(N, {", ".join(map(str, x.shape[1:]))}) as {first} have'
      )
