"""A split of a data set, and how one set is cut into several."""

from typing import NamedTuple

import numpy as np

from vae_jax.errors import UserError

# As in MNIST, one image in seven or so is for the test.
_TEST_FRACTION = 0.15


class Split(NamedTuple):
  """Images, or vectors of real numbers, of one split.

  Attributes:
    images: uint8 `[N, H, W, C]`, black 0, white 255; or float32 `[N, D]`.
    labels: int `[N]`, or None where the set has none.
  """

  images: np.ndarray
  labels: np.ndarray | None


def make_split(
  name: str, images: np.ndarray, labels: np.ndarray | None = None
) -> Split:
  """Brings images to uint8 `[N, H, W, C]`, one channel where all are equal.

  A set of zeros and ones, such as binarized_mnist, is stretched to 0 and 255.

  Raises:
    UserError: images that are not uint8, not `[N, H, W]` or `[N, H, W, C]`,
      or none; labels of another length.
  """
  if images.dtype != np.uint8 or images.ndim not in (3, 4) or not images.size:
    raise UserError(
      f'{name}: images are {images.dtype} of shape {images.shape}: must be '
      'uint8, [N, H, W] or [N, H, W, C], and at least one'
    )
  if labels is not None and labels.shape != images.shape[:1]:
    raise UserError(
      f'{name}: {len(images)} images but labels of shape {labels.shape}'
    )
  if images.ndim == 3:
    images = images[..., None]
  if images.shape[-1] > 1 and np.all(images == images[..., :1]):
    # Grey stored as RGB would be counted three times by the likelihood.
    images = np.ascontiguousarray(images[..., :1])
  if images.max() <= 1:
    images = images * np.uint8(255)
  return Split(images, labels)


def cut(name: str, split: Split, held_out: int) -> tuple[Split, Split]:
  """Cuts a split into the rest and `held_out` of its images, at random.

  The permutation is the same in every run, whatever its seed, so that what
  was held out once is never trained on.

  Raises:
    UserError: either part would be empty.
  """
  if not 0 < held_out < len(split.images):
    raise UserError(
      f'{name}: has {len(split.images)} images, too few to be cut into '
      'training, validation and test'
    )
  # RandomState's stream is frozen by NumPy's policy; default_rng's is not.
  order = np.random.RandomState(0).permutation(len(split.images))
  return _take(split, order[held_out:]), _take(split, order[:held_out])


def cut_test(name: str, whole: Split) -> dict[str, Split]:
  """Cuts a set that has no test split of its own into train and test."""
  held_out = round(len(whole.images) * _TEST_FRACTION)
  train, test = cut(name, whole, held_out)
  return {'train': train, 'test': test}


def mean_example(images: np.ndarray) -> np.ndarray:
  """Returns the mean over `[N, ...]`, of pixels in [0, 1]."""
  mean = np.mean(images, axis=0)
  return mean / 255 if images.dtype == np.uint8 else mean


def _take(split: Split, index: np.ndarray) -> Split:
  labels = None if split.labels is None else split.labels[index]
  return Split(split.images[index], labels)
