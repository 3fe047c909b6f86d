"""Splits of a dataset into training, validation and test examples."""

from typing import NamedTuple

import numpy as np

from vae_jax.errors import UserError

# Share of the test split, close to that of MNIST (1 in 7).
_TEST_FRACTION = 0.15


class Split(NamedTuple):
  """Examples of one split.

  Attributes:
    x: Images, uint8 `[N, H, W, C]` from black 0 to white 255; or vectors,
      float32 `[N, D]`.
    labels: Labels, int `[N]`; None for unlabelled data.
  """

  x: np.ndarray
  labels: np.ndarray | None


def make_split(
  name: str, images: np.ndarray, labels: np.ndarray | None = None
) -> Split:
  """Normalises images to uint8 `[N, H, W, C]` from black 0 to white 255.

  Equal channels become one channel. Images of zeros and ones, such as
  binarized_mnist, become 0 and 255.

  Args:
    name: Name of the dataset in messages.
    images: uint8 `[N, H, W]` or `[N, H, W, C]`.
    labels: Labels, `[N]`; None for unlabelled data.

  Raises:
    UserError: There are no images, or they have another dtype or rank, or
      the labels have another length.
  """
  if images.dtype != np.uint8 or images.ndim not in (3, 4) or not images.size:
    raise UserError(
      f'{name}: images have dtype {images.dtype} and shape {images.shape}, '
      'expected uint8 and [N, H, W] or [N, H, W, C] with N > 0'
    )
  if labels is not None and labels.shape != images.shape[:1]:
    raise UserError(
      f'{name}: labels have shape {labels.shape}, expected ({len(images)},), '
      'one label per image'
    )
  if images.ndim == 3:
    images = images[..., None]
  if images.shape[-1] > 1 and np.all(images == images[..., :1]):
    # The likelihood would count grey pixels stored as RGB three times.
    images = np.ascontiguousarray(images[..., :1])
  if images.max() <= 1:
    images = images * np.uint8(255)
  return Split(images, labels)


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
  """Splits a dataset without a test split into train and test."""
  train, test = cut(name, whole, round(len(whole.x) * _TEST_FRACTION))
  return {'train': train, 'test': test}


def mean_example(x: np.ndarray) -> np.ndarray:
  """Returns the mean over the examples `[N, ...]`; of pixels in [0, 1]."""
  mean = np.mean(x, axis=0)
  return mean / 255 if x.dtype == np.uint8 else mean


def _take(split: Split, index: np.ndarray) -> Split:
  labels = None if split.labels is None else split.labels[index]
  return Split(split.x[index], labels)
