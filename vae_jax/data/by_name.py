"""Datasets by name: embedded, files, folders, tensorflow-datasets."""

import difflib
import os
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

from vae_jax.data import (
  csv_table,
  linear_gaussian,
  local,
  pictures,
  shards,
  simulated_counts,
  tfds_sets,
)
from vae_jax.data.beside import KINDS
from vae_jax.data.from_arrays import Tell, no_one
from vae_jax.data.split import Split
from vae_jax.data.transform import Transform, transform_split
from vae_jax.errors import UserError


class Wanted(NamedTuple):
  """Splits and arrays of a data set that are needed; more may be read.

  Attributes:
    splits: names of splits.
    beside: 'y' and 'mask', or those of them that are needed.
  """

  splits: tuple[str, ...]
  beside: tuple[str, ...] = KINDS


# Datasets that need neither a file nor a download. Those that are drawn here
# differ between machines in their last bit.
_DRAWN = {'linear_gaussian': linear_gaussian.read_linear_gaussian}
EMBEDDED = _DRAWN | {
  'digits': local.read_digits,
  'digits_counts': local.read_digits_counts,
  'simulated_counts': simulated_counts.read_simulated_counts,
}
# End of the name of a file -> its reader. An .npz has arrays beside the images.
_FILES = {'.npy': local.read_npy, '.csv': csv_table.read_csv}
FILE_SUFFIXES = ('.npz', *_FILES)


def check_exists(name: str, data_dir: str = '') -> None:
  """Checks quickly that a dataset can be loaded.

  Args:
    name: Name of a dataset, as for `load_train`.
    data_dir: TFDS directory, as for `load_train`.

  Raises:
    UserError: The dataset is unknown, missing or not prepared.
  """
  if name in EMBEDDED:
    return
  path = pathlib.Path(os.path.expanduser(name))
  if name.endswith(FILE_SUFFIXES):
    local.check_file(path)
    return
  if is_folder(name):
    if not _holds_pictures(path):
      shards.check_folder(path)
    return
  if not tfds_sets.is_known(name):
    _check_no_path(name)
    names = [*EMBEDDED, *tfds_sets.known_names()]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    raise UserError(
      f'unknown dataset {name!r}: '
      + (f'did you mean {near[0]!r}? ' if near else '')
      + f'Use {", ".join(EMBEDDED)}, an image dataset of '
      'tensorflow-datasets such as mnist, a file.npz, .npy or .csv, or a '
      'folder of .npy or images'
    )
  tfds_sets.check_prepared(name, data_dir)


def is_folder(name: str) -> bool:
  """Returns whether a name is that of a folder, and not of a TFDS set."""
  return os.path.isdir(os.path.expanduser(name)) and (
    os.path.isabs(os.path.expanduser(name)) or not tfds_sets.is_known(name)
  )


def _check_no_path(name: str) -> None:
  """Raises `UserError` if a name is rather that of a file or folder."""
  path = os.path.expanduser(name)
  folder, stem = os.path.split(os.path.splitext(path)[0])
  suffix = path[len(os.path.join(folder, stem)) :]
  if name.endswith(os.sep):
    raise UserError(f'--dataset={name}: no such folder')
  if suffix or os.path.isfile(path):
    save = f'np.savez({os.path.join(folder, stem) + ".npz"!r}, images=...)'
    raise UserError(
      f'--dataset={name}: expected the name of a dataset, a folder of .npy or '
      'of images, or a file.npz, .npy or .csv. Save '
      f'the images, uint8 [N, H, W] or [N, H, W, C], with {save}'
    )


def is_drawn(name: str) -> bool:
  """Returns whether the examples are drawn here, and read from no file."""
  return name in _DRAWN


def read(
  name: str,
  wanted: Wanted,
  data_dir: str,
  stream: str,
  transform: Transform,
  tell: Tell = no_one,
) -> Mapping[str, Split]:
  """Reads splits of a dataset, transformed.

  Args:
    name: Name of the dataset, as for `data.load_train`.
    wanted: Splits, and arrays beside the images, that are needed.
    data_dir: As for `data.load_train`.
    stream: As for `data.load_train`.
    transform: Shape, size and inversion of the images.
    tell: Is called with a sentence on each change of the numbers.

  Raises:
    UserError: As `data.load_train`.
  """
  check_exists(name, data_dir)
  splits = _read_as_stored(name, wanted, data_dir, stream, transform, tell)
  return {
    part: transform_split(f'--dataset={name}: {part}', split, transform)
    for part, split in splits.items()
  }


def _read_as_stored(
  name: str,
  wanted: Wanted,
  data_dir: str,
  stream: str,
  transform: Transform,
  tell: Tell,
) -> Mapping[str, Split]:
  path = pathlib.Path(os.path.expanduser(name))
  suffix = next((x for x in FILE_SUFFIXES if name.endswith(x)), '')
  holds_pictures = not suffix and is_folder(name) and _holds_pictures(path)
  if stream == 'always' and (name in EMBEDDED or suffix or holds_pictures):
    raise UserError(
      f'--stream=always: got --dataset={name}, which is read into memory, '
      'expected a TFDS set or a folder of .npy. Leave --stream out'
    )
  if suffix == '.npz':
    return local.read_npz(path, transform, tell, wanted.beside)
  if suffix:
    return _FILES[suffix](path, transform, tell)
  is_shards = not suffix and not holds_pictures and is_folder(name)
  if transform.image_shape and (name in EMBEDDED or not is_shards):
    size = ','.join(map(str, transform.image_shape))
    raise UserError(
      f'--image_shape={size}: got --dataset={name}, whose images have a shape, '
      'expected a file. Leave --image_shape out'
    )
  if name in EMBEDDED:
    return EMBEDDED[name]()
  if holds_pictures:
    return pictures.read_pictures(path, transform, tell)
  if is_shards:
    return shards.read_folder(
      path, wanted.splits, stream, transform.image_shape
    )
  return tfds_sets.read(name, wanted.splits, data_dir, stream)


def _holds_pictures(folder: pathlib.Path) -> bool:
  """Returns whether a folder is one of images, and not of .npy shards."""
  return not any(folder.glob('*.npy')) and pictures.holds_pictures(folder)
