"""Splits of a dataset into training, validation and test examples."""

import hashlib
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from vae_jax.errors import UserError

# Share of the test split, close to that of MNIST (1 in 7).
_TEST_FRACTION = 0.15
# Fewest images of which 15 % and then a tenth can be separated.
_MIN_IMAGES = 12


class Split(NamedTuple):
  """Examples of one split.

  Attributes:
    x: Images, uint8 `[N, H, W, C]` from black 0 to white 255; or vectors,
      float32 `[N, D]`.
    labels: Labels, int `[N]`; None for unlabelled data.
  """

  x: np.ndarray
  labels: np.ndarray | None


def make_splits(
  name: str, parts: Mapping[str, tuple[np.ndarray, np.ndarray | None]]
) -> dict[str, Split]:
  """Normalises images to uint8 `[N, H, W, C]` from black 0 to white 255.

  All splits are judged together. If the channels of every image are equal,
  they become one channel. If the training images are zeros and ones, such as
  those of binarized_mnist, 1 becomes 255.

  Args:
    name: Name of the dataset in messages.
    parts: Split -> (images, labels). Images are uint8 `[N, H, W]` or
      `[N, H, W, C]`; labels are `[N]` or `[N, 1]`, or None. The training split
      is 'train', or the only one.

  Returns:
    Split -> its normalised examples.

  Raises:
    UserError: There are no images, they have another dtype or rank, the
      splits differ in size, channels or scale, or the labels do not fit.
  """
  images, labels = {}, {}
  for part, (own, own_labels) in parts.items():
    images[part] = _as_images(f'{name}: {_array(part)}', own)
    where = f'{name}: {_array(part, "labels")}'
    labels[part] = _as_labels(where, own_labels, len(own))
  first = 'train' if 'train' in images else next(iter(images))
  shape, high = images[first].shape[1:], images[first].max()
  for part, own in images.items():
    if own.shape[1:] != shape:
      raise UserError(
        f'{name}: {_array(part)} have the size {own.shape[1:]}, expected '
        f'{shape} (height, width, channels) as {_array(first)} have'
      )
    if high <= 1 < own.max():
      raise UserError(
        f'{name}: {_array(part)} have pixels up to {own.max()}, expected 0 and '
        f'1 as {_array(first)} have. Store all images from 0 to 255'
      )
  if shape[-1] > 1 and all(np.all(x == x[..., :1]) for x in images.values()):
    # The likelihood would count grey pixels stored as RGB three times.
    images = {k: np.ascontiguousarray(x[..., :1]) for k, x in images.items()}
  if high <= 1:
    images = {part: x * np.uint8(255) for part, x in images.items()}
  return {part: Split(x, labels[part]) for part, x in images.items()}


def make_split(
  name: str, images: np.ndarray, labels: np.ndarray | None = None
) -> Split:
  """Normalises the images of one split, as `make_splits` does."""
  return make_splits(name, {'': (images, labels)})['']


def _array(part: str, kind: str = 'images') -> str:
  return f'{part}_{kind}' if part else kind


def _as_images(where: str, images: np.ndarray) -> np.ndarray:
  """Returns images `[N, H, W, C]`; raises `UserError` for other arrays."""
  if images.dtype != np.uint8 or images.ndim not in (3, 4) or not images.size:
    raise UserError(
      f'{where} have dtype {images.dtype} and shape {images.shape}, '
      'expected uint8 and [N, H, W] or [N, H, W, C] with N > 0'
    )
  if images.ndim == 3:
    return images[..., None]
  _, height, width, channels = images.shape
  squares = width == channels != height
  if channels > 4 and (squares or height <= 4):
    raise UserError(
      f'{where} have shape {images.shape}: is that [N, C, H, W]? Expected '
      '[N, H, W, C]. Store images.transpose(0, 2, 3, 1)'
    )
  return images


def _as_labels(
  where: str, labels: np.ndarray | None, count: int
) -> np.ndarray | None:
  """Returns labels `[N]`; raises `UserError` if they do not fit."""
  if labels is None:
    return None
  if labels.shape == (count, 1):
    labels = labels[:, 0]
  if labels.shape != (count,):
    raise UserError(
      f'{where} have shape {labels.shape}, expected ({count},), '
      'one label per image'
    )
  if labels.dtype.kind not in 'biufSU':
    raise UserError(
      f'{where} have dtype {labels.dtype}, expected numbers or names'
    )
  if labels.dtype.kind in 'SU':
    names, index = np.unique(labels, return_inverse=True)
    return np.array([printable(name) for name in names.tolist()])[index]
  return labels


def printable(name: str | bytes) -> str:
  """Escapes what no terminal, page or figure can show."""
  text = name if isinstance(name, str) else name.decode('latin-1')
  return ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def cut(name: str, split: Split, num_held_out: int) -> tuple[Split, Split]:
  """Separates `num_held_out` random examples from a split.

  The permutation is fixed, so that runs of different seeds do not train on
  examples that other runs hold out.

  Args:
    name: Name of the dataset in messages.
    split: Split to divide.
    num_held_out: Number of examples to separate.

  Returns:
    (remaining examples, separated examples).

  Raises:
    UserError: Either part would be empty.
  """
  if not 0 < num_held_out < len(split.x):
    raise UserError(
      f'{name}: has {len(split.x)} examples, too few to split into training, '
      'validation and test'
    )
  # NumPy guarantees the stream of RandomState, but not that of default_rng.
  order = np.random.RandomState(0).permutation(len(split.x))
  return _take(split, order[num_held_out:]), _take(split, order[:num_held_out])


def cut_test(name: str, whole: Split) -> dict[str, Split]:
  """Splits a dataset without a test split into train and test.

  Raises:
    UserError: There are too few examples for three splits.
  """
  if len(whole.x) < _MIN_IMAGES:
    raise UserError(
      f'{name}: has {len(whole.x)} images, too few to split into training, '
      f'validation and test; expected at least {_MIN_IMAGES}'
    )
  train, test = cut(name, whole, round(len(whole.x) * _TEST_FRACTION))
  return {'train': train, 'test': test}


def mean_example(x: np.ndarray) -> np.ndarray:
  """Returns the mean over the examples `[N, ...]`; of pixels in [0, 1]."""
  mean = np.mean(x, axis=0)
  return mean / 255 if x.dtype == np.uint8 else mean


def scale_about_mean(x: np.ndarray) -> float:
  """Returns the standard deviation of the examples about their mean example.

  It is the scale at which a normal distribution about that mean has the
  highest likelihood; for pixels in [0, 1], dequantised.
  """
  unit, noise = (255, 1 / 12 / 256**2) if x.dtype == np.uint8 else (1, 0.0)
  mean, starts = mean_example(x), range(0, len(x), 1000)
  # In chunks, because a copy in floating point may not fit in memory.
  total = sum(np.sum((x[i : i + 1000] / unit - mean) ** 2) for i in starts)
  # Equal examples have no bounded density.
  return math.sqrt(max(float(total) / x.size + noise, 1e-20))


def digest(split: Split) -> str:
  """Returns a digest of the examples of a split, SHA-256 in hexadecimal."""
  found = hashlib.sha256(repr((split.x.dtype.str, split.x.shape)).encode())
  # Real numbers are drawn here, and their last bit differs between machines.
  if split.x.dtype == np.uint8:
    found.update(np.ascontiguousarray(split.x).data)
    if split.labels is not None:
      found.update(repr(split.labels.tolist()).encode())
  return found.hexdigest()


def _take(split: Split, index: np.ndarray) -> Split:
  labels = None if split.labels is None else split.labels[index]
  return Split(split.x[index], labels)
