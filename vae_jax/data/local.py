"""Datasets without a download: the embedded digits and local .npz files."""

import io
import pathlib
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

from vae_jax.data.memory import physical_memory
from vae_jax.data.split import Split, cut_test, make_split
from vae_jax.errors import UserError


def read_digits() -> Mapping[str, Split]:
  """Returns the 1,797 handwritten 8x8 digits of scikit-learn.

  The split into train and test is fixed.

  References:
    Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI.
  """
  from sklearn import datasets

  digits = datasets.load_digits()
  images = np.round(digits.images * (255 / 16)).astype(np.uint8)
  whole = make_split('digits', images, digits.target)
  return cut_test('digits', whole)


def read_npz(path: pathlib.Path) -> Mapping[str, Split]:
  """Reads images from an .npz file.

  The file contains uint8 `images`, `[N, H, W]` or `[N, H, W, C]`, and
  optionally `labels`, `[N]`; they are split at random, but always alike.
  Alternatively it contains its own split: `train_images` and `test_images`,
  and optionally `train_labels` and `test_labels`.

  Raises:
    UserError: The file is missing, not an .npz archive, damaged, or has other
      arrays.
  """
  if not path.is_file():
    raise UserError(f'{path}: no such file')
  try:
    content = io.BytesIO(path.read_bytes())
    _check_size(path, content)
    with np.load(content, allow_pickle=False) as archive:
      arrays = {name: archive[name] for name in archive.files if _wanted(name)}
  except UserError:
    raise
  except (
    *(OSError, ValueError, EOFError, MemoryError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
  ) as error:
    raise UserError(
      f'{path}: cannot be read as an .npz file; it may be damaged ({error})'
    ) from None
  if {'train_images', 'test_images'} <= set(arrays):
    return {name: _part(path, arrays, f'{name}_') for name in ('train', 'test')}
  if 'images' not in arrays:
    raise UserError(
      f"{path}: has neither an array 'images' nor 'train_images' and "
      "'test_images'"
    )
  return cut_test(str(path), _part(path, arrays, ''))


def _check_size(path: pathlib.Path, content: io.BytesIO) -> None:
  """Raises `UserError` if the unpacked file exceeds the physical memory."""
  with zipfile.ZipFile(content) as archive:
    size = sum(info.file_size for info in archive.infolist())
  available = physical_memory()
  if size > available:
    raise UserError(
      f'{path}: unpacks to {size / 2**30:.3g} GiB, but this machine has '
      f'{available / 2**30:.3g} GiB of memory'
    )
  content.seek(0)


def _wanted(name: str) -> bool:
  return name.removeprefix('train_').removeprefix('test_') in (
    'images',
    'labels',
  )


def _part(
  path: pathlib.Path, arrays: Mapping[str, np.ndarray], prefix: str
) -> Split:
  labels = arrays.get(f'{prefix}labels')
  return make_split(str(path), arrays[f'{prefix}images'], labels)
