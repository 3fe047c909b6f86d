"""Folders of PNG or JPEG images, with one subfolder per class.

`folder/<class>/*.png` is split at random but always alike;
`folder/train/<class>/*.png` with `folder/test/` and perhaps
`folder/validation/` is its own split. Images without subfolders have no labels.
"""

import pathlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vae_jax.data.from_arrays import Tell, from_arrays
from vae_jax.data.memory import check_fits
from vae_jax.data.split import Split, printable
from vae_jax.data.transform import Transform, pillow, resize
from vae_jax.errors import UserError

_SUFFIXES = ('.png', '.jpg', '.jpeg')
_FORMATS = ('PNG', 'JPEG')
_SPLITS = {
  'train': 'train',
  'test': 'test',
  'val': 'validation',
  'valid': 'validation',
  'validation': 'validation',
}
# A file of a few bytes may claim to unpack to gigabytes.
_MAX_PIXELS = 2**26
# Modes of Pillow that are shades of grey, with 8 and with 16 bits.
_GREY, _DEEP = ('1', 'L', 'LA'), ('I;16', 'I;16B', 'I;16L', 'I')
_ALPHA = ('LA', 'PA', 'RGBA', 'La', 'RGBa')


class _Files(NamedTuple):
  """Image files of one split, and the class of each; None without classes."""

  paths: list[pathlib.Path]
  classes: list[str] | None


def holds_pictures(folder: pathlib.Path) -> bool:
  """Returns whether a folder or one of its subfolders has an image."""
  return any(True for _ in _found(folder, 2))


def read_pictures(
  folder: pathlib.Path, transform: Transform, tell: Tell
) -> Mapping[str, Split]:
  """Reads all images of a folder into memory.

  Args:
    folder: the folder.
    transform: `resize` is applied to each image when it is read.
    tell: is called with a sentence on each change.

  Raises:
    UserError: Pillow is missing, an image is damaged, or images differ in
      size and none is asked for.
  """
  image, found = pillow(), _splits_of(folder)
  modes = {
    _mode(image, path)[0] for files in found.values() for path in files.paths
  }
  is_grey = modes <= {*_GREY, *_DEEP}
  if modes & {*_DEEP} and len(modes) > 1:
    raise UserError(
      f'{folder}: got images of modes {", ".join(sorted(modes))}, expected '
      'all with 8 or all with 16 bits. Convert them'
    )
  if modes & {*_ALPHA}:
    tell(f'{folder}: transparency (alpha) is dropped')
  if not is_grey:
    tell(f'{folder}: images are read as RGB, their modes are {_list(modes)}')
  parts = {
    part: (
      _read_all(image, files.paths, is_grey, transform),
      None if files.classes is None else np.array(files.classes),
    )
    for part, files in found.items()
  }
  return from_arrays(str(folder), parts, transform, tell)


def _list(names: set[str]) -> str:
  return ', '.join(sorted(names))


def _splits_of(folder: pathlib.Path) -> dict[str, _Files]:
  """Returns the files of each split, '' for a whole."""
  inside = {each.name: each for each in sorted(folder.iterdir())}
  named = {
    part: inside[name]
    for name, part in _SPLITS.items()
    if name in inside and inside[name].is_dir()
  }
  if not {'train', 'test'} <= set(named):
    return {'': _files_of(folder)}
  return {part: _files_of(path) for part, path in named.items()}


def _files_of(folder: pathlib.Path) -> _Files:
  """Returns images in subfolders by class, or those of the folder itself."""
  direct = list(_found(folder, 0))
  subfolders = sorted(
    path
    for path in folder.iterdir()
    if path.is_dir() and not path.name.startswith('.')
  )
  by_class = [(path, each) for path in subfolders for each in _found(path, 0)]
  if direct and by_class:
    raise UserError(
      f'{folder}: got images beside subfolders of images, expected one '
      f'subfolder per class. Move {direct[0].name} into one'
    )
  if not direct and not by_class:
    raise UserError(
      f'{folder}: got no image, expected .png or .jpg files, or one subfolder '
      'of them per class. Use another --dataset'
    )
  if direct:
    return _Files(direct, None)
  return _Files(
    [each for _, each in by_class],
    [printable(path.name) for path, _ in by_class],
  )


def _found(folder: pathlib.Path, depth: int) -> Iterator[pathlib.Path]:
  """Yields the images in a folder, and in subfolders down to a depth."""
  for path in sorted(folder.iterdir()):
    if path.name.startswith('.'):
      continue
    if path.suffix.lower() in _SUFFIXES and path.is_file():
      yield path
    elif depth and path.is_dir():
      yield from _found(path, depth - 1)


def _mode(image: Any, path: pathlib.Path) -> tuple[str, tuple[int, int]]:
  """Returns mode and size (height, width) from the header of a file."""
  with _opened(image, path) as opened:
    width, height = opened.size
    return str(opened.mode), (height, width)


def _opened(image: Any, path: pathlib.Path) -> Any:
  """Opens an image; raises `UserError` for a damaged or huge one."""
  try:
    with warnings.catch_warnings(action='ignore'):
      opened = image.open(path, formats=_FORMATS)
  # A forged file makes Pillow raise many exceptions.
  except Exception as error:
    raise _damaged(path, error) from None
  if opened.size[0] * opened.size[1] > _MAX_PIXELS:
    opened.close()
    raise UserError(
      f'{path}: got an image of {opened.size[0]} x {opened.size[1]}, expected '
      f'at most {_MAX_PIXELS} pixels. Make it smaller'
    )
  return opened


def _damaged(path: pathlib.Path, error: Exception) -> UserError:
  reason = f'{type(error).__name__}: {" ".join(str(error).split())[:200]}'
  return UserError(
    f'{path}: cannot be read as PNG or JPEG ({reason}). Replace or remove it'
  )


def _read_all(
  image: Any,
  paths: Sequence[pathlib.Path],
  is_grey: bool,
  transform: Transform,
) -> np.ndarray:
  """Returns images `[N, H, W]` or `[N, H, W, 3]`, uint8 or uint16."""
  first = _mode(image, paths[0])[1]
  size = transform.resize or first
  channels = 1 if is_grey else 3
  check_fits(
    str(paths[0].parent), 2 * len(paths) * channels * size[0] * size[1]
  )
  out = None
  for i, path in enumerate(paths):
    x = _read(image, path, is_grey)
    if transform.resize and x.shape[:2] != size:
      x = resize(x[None], *size)[0]
    if x.shape[:2] != size:
      raise UserError(
        f'{path}: got {x.shape[0]} x {x.shape[1]} pixels, expected '
        f'{size[0]} x {size[1]} as {paths[0].name} has. Use --resize='
        f'{size[0]},{size[1]} or another size'
      )
    out = np.empty((len(paths), *x.shape), x.dtype) if out is None else out
    out[i] = x
  assert out is not None
  return out


def _read(image: Any, path: pathlib.Path, is_grey: bool) -> np.ndarray:
  """Returns one image `[H, W]` or `[H, W, 3]`."""
  with _opened(image, path) as opened:
    is_deep = opened.mode in _DEEP
    try:
      with warnings.catch_warnings(action='ignore'):
        if is_deep:
          return np.asarray(opened).astype(np.uint16)
        return np.asarray(opened.convert('L' if is_grey else 'RGB'))
    except Exception as error:
      raise _damaged(path, error) from None
