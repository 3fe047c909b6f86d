"""Names of the arrays in a file: which split they are of, and what they hold.

A new kind of array is one entry of `KINDS` and its reader.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vae_jax.errors import UserError

# Name of a kind -> names of its array, the first behind a word such as `train`
# and the second before it. Images, tables and counts are examples.
KINDS = {
  'images': ('images', 'x'),
  'counts': ('counts', 'counts'),
  'labels': ('labels', 'y'),
  # Conditions; the y_train of keras are labels.
  'y': ('y', ''),
  'mask': ('mask', 'mask'),
}
# Words before or behind the name of an array -> split; '' is a whole that is
# still to be split.
_SPLITS = {
  'train': 'train',
  'test': 'test',
  'val': 'validation',
  'validation': 'validation',
  'valid': 'validation',
}
CLASS_NAMES = 'class_names'


class Named(NamedTuple):
  """Role of an array: its split, '' for a whole, and a key of `KINDS`."""

  split: str
  kind: str


def _named() -> dict[str, Named]:
  """Returns the name of every array that is read, the preferred first."""
  found = {}
  for kind, (long, short) in KINDS.items():
    found[long] = Named('', kind)
    for word, split in _SPLITS.items():
      # MedMNIST's train_images, and the x_train of keras.
      found[f'{word}_{long}'] = Named(split, kind)
      if short:
        found[f'{short}_{word}'] = Named(split, kind)
  found['x'] = Named('', 'images')
  return found


NAMES = _named()


def kind_in(path: pathlib.Path, found: Mapping[str, Mapping[str, Any]]) -> str:
  """Returns 'counts' or 'images', the examples of a file."""
  kinds = {kind for own in found.values() for kind in own}
  if {'counts', 'images'} <= kinds:
    raise UserError(
      f'{path}: got images and counts, expected either. Save them in two files'
    )
  return 'counts' if 'counts' in kinds else 'images'


def choose_parts(
  path: pathlib.Path,
  found: Mapping[str, Mapping[str, np.ndarray]],
  kind: str,
  held: Sequence[str],
) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
  """Returns the examples and labels of the file's own splits, or of the whole.

  Raises:
    UserError: The file has neither.
  """
  parts = {
    part: (kinds[kind], kinds.get('labels'))
    for part, kinds in found.items()
    if kind in kinds
  }
  if {'train', 'test'} <= set(parts):
    parts.pop('', None)
    return parts
  if '' in parts:
    return {'': parts['']}
  names = ', '.join(map(repr, held[:10])) + (', ...' if held[10:] else '')
  raise UserError(
    f"{path}: has neither an array 'images' (or 'x') nor 'train_images' and "
    f"'test_images' (or 'x_train' and 'x_test'); it holds "
    f'{names or "no array"}'
  )
