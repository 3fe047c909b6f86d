"""Names of the arrays in a file: which split they are of, and what they hold.

A new kind of array is one entry of `KINDS` and its reader.
"""

from typing import NamedTuple

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
