"""Splits of a dataset into training, validation and test examples."""

from collections.abc import Callable, Mapping

import numpy as np

from vae_jax.data.streamed import Examples, Rows, Split, Streamed, chunks
from vae_jax.errors import UserError

# Share of the test split, close to that of MNIST (1 in 7).
_TEST_FRACTION = 0.15
# Fewest images of which 15 % and then a tenth can be separated.
MIN_EXAMPLES = 12


def make_splits(
  name: str,
  parts: Mapping[str, tuple[Examples, np.ndarray | None]],
  *,
  is_channels_last: bool = False,
) -> dict[str, Split]:
  """Normalises images to `[N, H, W, C]`, uint8 from black 0 to white 255.

  All splits are judged together. If the channels of every image are equal,
  they become one channel. If the training images are zeros and ones, such as
  those of binarized_mnist, 1 becomes 255.

  Args:
    name: Name of the dataset in messages.
    parts: Split -> (images, labels). Images are uint8 `[N, H, W]` or
      `[N, H, W, C]`, in memory or on disk, or float32; labels are `[N]`,
      `[N, 1]` or one-hot `[N, K]`, or None. The training split is 'train', or
      the only one.
    is_channels_last: Whether `[N, H, W, C]` is known to be the layout of four
      axes, so that sizes as of `[N, C, H, W]` are taken.

  Returns:
    Split -> its normalised examples.

  Raises:
    UserError: There are no images, they have another dtype or rank, the
      splits differ in size, channels or scale, or the labels do not fit.
  """
  images, labels = {}, {}
  for part, (own, own_labels) in parts.items():
    where = f'{name}: {_array(part)}'
    images[part] = _as_images(where, own)
    if not is_channels_last:
      _check_layout(where, own)
    where, labels[part] = f'{name}: {_array(part, "labels")}', own_labels
    if own_labels is not None:
      labels[part] = as_labels(where, own_labels, len(own))
  first = 'train' if 'train' in images else next(iter(images))
  shape, is_bytes = images[first].shape[1:], images[first].dtype == np.uint8
  is_binary = is_bytes and has_two_levels(images[first])
  for part, own in images.items():
    if own.shape[1:] != shape:
      raise UserError(
        f'{name}: {_array(part)} have the size {own.shape[1:]}, expected '
        f'{shape} (height, width, channels) as {_array(first)} have'
      )
    if is_binary and not has_two_levels(own):
      high = max(each.x.max() for each in chunks(own))
      raise UserError(
        f'{name}: {_array(part)} have pixels up to {high}, expected 0 and '
        f'1 as {_array(first)} have. Store all images from 0 to 255'
      )
  if shape[-1] > 1 and all(map(_has_equal_channels, images.values())):
    # The likelihood would count grey pixels stored as RGB three times.
    one = lambda x: np.ascontiguousarray(x[..., :1])
    images = {part: _apply(one, x, 1) for part, x in images.items()}
  if is_binary:
    white = lambda x: x * np.uint8(255)
    images = {part: _apply(white, x) for part, x in images.items()}
  return {part: Split(x, labels[part]) for part, x in images.items()}


def has_two_levels(images: Examples) -> bool:
  """Returns whether no pixel exceeds 1; stops at the first that does."""
  return all(part.x.max(initial=0) <= 1 for part in chunks(images))


def _has_equal_channels(images: Examples) -> bool:
  same = lambda x: bool(np.all(x == x[..., :1]))
  return all(same(part.x) for part in chunks(images))


def _apply(
  function: Callable[[np.ndarray], np.ndarray],
  images: Examples,
  num_channels: int = 0,
) -> Examples:
  """Changes images now, or those on disk when they are read."""
  if not isinstance(images, Streamed):
    return function(images)
  shape = images.shape[1:]
  if num_channels:
    shape = (*images.shape[1:3], num_channels)
  return images.map(lambda rows: Rows(function(rows.x), rows.labels), shape)


def make_split(
  name: str, images: Examples, labels: np.ndarray | None = None
) -> Split:
  """Normalises the images of one split, as `make_splits` does."""
  return make_splits(name, {'': (images, labels)})['']


def _array(part: str, kind: str = 'images') -> str:
  return f'{part}_{kind}' if part else kind


def _as_images(where: str, images: Examples) -> Examples:
  """Returns images `[N, H, W, C]`; raises `UserError` for other arrays."""
  is_real = images.dtype == np.float32
  is_image = images.ndim in (3, 4) and images.size > 0
  if not (images.dtype == np.uint8 or is_real) or not is_image:
    raise UserError(
      f'{where} have dtype {images.dtype} and shape {images.shape}, '
      'expected uint8 and [N, H, W] or [N, H, W, C] with N > 0'
    )
  if images.ndim == 3:
    return _apply(lambda x: x[..., None], images, 1)
  return images


def _check_layout(where: str, images: Examples) -> None:
  """Raises `UserError` for sizes that are rather those of `[N, C, H, W]`."""
  if images.ndim != 4:
    return
  _, height, width, channels = images.shape
  squares = width == channels != height
  if channels > 4 and (squares or height <= 4):
    raise UserError(
      f'{where} have shape {images.shape}: is that [N, C, H, W]? Expected '
      '[N, H, W, C]. Store images.transpose(0, 2, 3, 1), or state '
      f'--image_shape={height},{width},{channels} if that is [H, W, C]'
    )


def as_labels(where: str, labels: np.ndarray, count: int) -> np.ndarray:
  """Returns labels `[N]`; raises `UserError` if they do not fit."""
  if labels.shape == (count, 1):
    labels = labels[:, 0]
  elif labels.ndim == 2 and len(labels) == count:
    labels = _from_one_hot(where, labels)
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


def _from_one_hot(where: str, labels: np.ndarray) -> np.ndarray:
  """Returns the place of the one in each row."""
  is_number = labels.dtype.kind in 'biuf'
  ones = np.count_nonzero(labels == 1, axis=1) if is_number else None
  others = np.count_nonzero(labels, axis=1) if is_number else None
  if ones is None or np.any(ones != 1) or np.any(others != 1):
    raise UserError(
      f'{where} have shape {labels.shape}, expected one label per image, or '
      'one-hot rows with a single 1. Store one label per image'
    )
  return np.argmax(labels == 1, axis=1)


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
  return split.take(order[num_held_out:]), split.take(order[:num_held_out])


def keep_fraction(split: Split, fraction: float) -> Split:
  """Returns a random part of the examples, in their order.

  The permutation is fixed: it depends on no seed, and a smaller fraction
  chooses some of the examples of a larger one.

  Args:
    split: Split to choose from.
    fraction: Share of the examples, above 0 and at most 1.
  """
  count = max(1, round(fraction * len(split.x)))
  if count == len(split.x):
    return split
  order = np.random.RandomState(1).permutation(len(split.x))
  return split.take(np.sort(order[:count]))


def cut_test(name: str, whole: Split) -> dict[str, Split]:
  """Splits a dataset without a test split into train and test.

  Raises:
    UserError: There are too few examples for three splits.
  """
  if len(whole.x) < MIN_EXAMPLES:
    raise UserError(
      f'{name}: has {len(whole.x)} images, too few to split into training, '
      f'validation and test; expected at least {MIN_EXAMPLES}'
    )
  train, test = cut(name, whole, round(len(whole.x) * _TEST_FRACTION))
  return {'train': train, 'test': test}
