"""Datasets: embedded, .npz files, folders of .npy, tensorflow-datasets."""

import difflib
import os
import pathlib
from collections.abc import Mapping, Sequence

from vae_jax.data import (
  csv_table,
  linear_gaussian,
  local,
  pictures,
  shards,
  simulated_counts,
  tfds_sets,
)
from vae_jax.data.condition import Condition, fit_condition
from vae_jax.data.facts import (
  digest,
  grey_share,
  mean_example,
  scale_about_mean,
)
from vae_jax.data.feed import make_batches
from vae_jax.data.from_arrays import Tell, no_one
from vae_jax.data.memory import STREAM, check_fits, is_streamed
from vae_jax.data.preprocess import (
  Preprocess,
  at_each_visit,
  binarise,
  binarise_fast,
  dequantise,
  describe_preprocess,
  make_preprocess,
  preprocess_once,
)
from vae_jax.data.split import cut, keep_fraction
from vae_jax.data.streamed import Examples, Rows, Split, Streamed, in_memory
from vae_jax.data.tfds_sets import prepare
from vae_jax.data.transform import (
  AS_STORED,
  Transform,
  transform_batch,
  transform_split,
)
from vae_jax.errors import UserError

__all__ = (
  'AS_STORED',
  'FILE_SUFFIXES',
  'STREAM',
  'Condition',
  'Examples',
  'Preprocess',
  'Rows',
  'Split',
  'Streamed',
  'Tell',
  'Transform',
  'at_each_visit',
  'binarise',
  'binarise_fast',
  'check_exists',
  'check_fits',
  'class_names',
  'dequantise',
  'describe_preprocess',
  'digest',
  'fit_condition',
  'grey_share',
  'in_memory',
  'is_drawn',
  'is_streamed',
  'load_test',
  'load_train',
  'make_batches',
  'make_preprocess',
  'mean_example',
  'no_one',
  'prepare',
  'preprocess_once',
  'scale_about_mean',
  'transform_batch',
)

# Datasets that need neither a file nor a download. Those that are drawn here
# differ between machines in their last bit.
_DRAWN = {'linear_gaussian': linear_gaussian.read_linear_gaussian}
_EMBEDDED = _DRAWN | {
  'digits': local.read_digits,
  'digits_counts': local.read_digits_counts,
  'simulated_counts': simulated_counts.read_simulated_counts,
}
# End of the name of a file -> its reader.
_FILES = {
  '.npz': local.read_npz,
  '.npy': local.read_npy,
  '.csv': csv_table.read_csv,
}
FILE_SUFFIXES = tuple(_FILES)


def check_exists(name: str, data_dir: str = '') -> None:
  """Checks quickly that a dataset can be loaded.

  Args:
    name: Name of a dataset, as for `load_train`.
    data_dir: TFDS directory, as for `load_train`.

  Raises:
    UserError: The dataset is unknown, missing or not prepared.
  """
  if name in _EMBEDDED:
    return
  path = pathlib.Path(os.path.expanduser(name))
  if name.endswith(FILE_SUFFIXES):
    local.check_file(path)
    return
  if _is_folder(name):
    if not _holds_pictures(path):
      shards.check_folder(path)
    return
  if not tfds_sets.is_known(name):
    _check_no_path(name)
    names = [*_EMBEDDED, *tfds_sets.known_names()]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    raise UserError(
      f'unknown dataset {name!r}: '
      + (f'did you mean {near[0]!r}? ' if near else '')
      + f'Use {", ".join(_EMBEDDED)}, an image dataset of '
      'tensorflow-datasets such as mnist, a file.npz, or a folder of .npy'
      + f'Use {" or ".join(_EMBEDDED)}, an image dataset of '
      'tensorflow-datasets such as mnist, a file.npz, .npy or .csv, or a '
      'folder of .npy or images'
    )
  tfds_sets.check_prepared(name, data_dir)


def _is_folder(name: str) -> bool:
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


def load_train(
  name: str,
  *,
  data_dir: str = '',
  num_validation: int,
  stream: str = 'never',
  train_fraction: float = 1.0,
  transform: Transform = AS_STORED,
  tell: Tell = no_one,
) -> tuple[Split, Rows]:
  """Loads the training and validation splits; the test split is not read.

  For a dataset without a validation split, one is separated from the training
  split. It does not depend on any seed.

  Args:
    name: Name of an embedded or a TFDS dataset, a path that ends in .npz,
      .npy or .csv, or a folder of .npy shards or of images, as `shards` and
      `pictures` describe them.
    data_dir: TFDS directory; '' for $TFDS_DATA_DIR or the default of TFDS.
    num_validation: Number of validation examples to separate, limited to a
      tenth of the training split.
    stream: 'always' to leave the training images of TFDS or of a folder on
      disk, as `Streamed`; 'auto' only if they exceed a quarter of the memory.
    train_fraction: Share of the training examples to return, as
      `keep_fraction` chooses them; the validation split does not depend on it.
    transform: Shape, size and inversion of the images.
    tell: Is called with a sentence on each thing that is done to the numbers.

  Returns:
    (train, validation).

  Raises:
    UserError: The dataset is unknown, not prepared, damaged or not of images.
  """
  splits = _read(
    name, ('train', 'validation'), data_dir, stream, transform, tell
  )
  for line in transform.describe():
    tell(f'{name}: {line}')
  where = f'--dataset={name}: validation'
  train = splits['train']
  if 'validation' in splits:
    held_out = splits['validation']
  elif len(train.x) < 10:
    raise UserError(
      f'{name}: has {len(train.x)} training images, too few to separate a '
      'tenth of them for validation; expected at least 10'
    )
  else:
    train, held_out = cut(name, train, min(num_validation, len(train.x) // 10))
  return keep_fraction(train, train_fraction), in_memory(where, held_out)


def load_test(
  name: str,
  *,
  data_dir: str = '',
  stream: str = 'never',
  transform: Transform = AS_STORED,
) -> Rows:
  """Loads the test split.

  For a dataset without a test split, one is separated from the training
  split. It does not depend on any seed.

  Args:
    name: Name of the dataset, as for `load_train`.
    data_dir: TFDS directory, as for `load_train`.
    stream: As for `load_train`; the test split itself is read into memory.
    transform: As for `load_train`.

  Raises:
    UserError: The dataset is unknown, not prepared, damaged or not of images.
  """
  test = _read(name, ('test',), data_dir, stream, transform)['test']
  return in_memory(f'--dataset={name}: test', test)


def class_names(name: str, *, data_dir: str = '') -> list[str]:
  """Returns the names of the classes by integer label; [] if it has none.

  Args:
    name: Name of the dataset, as for `load_train`.
    data_dir: TFDS directory, as for `load_train`.
  """
  if name.endswith('.npz'):
    return local.class_names(pathlib.Path(os.path.expanduser(name)))
  if name in _EMBEDDED or name.endswith(FILE_SUFFIXES) or _is_folder(name):
    return []
  return tfds_sets.class_names(name, data_dir)


def is_drawn(name: str) -> bool:
  """Returns whether the examples are drawn here, and read from no file."""
  return name in _DRAWN


def _read(
  name: str,
  wanted: Sequence[str],
  data_dir: str,
  stream: str,
  transform: Transform,
  tell: Tell = no_one,
) -> Mapping[str, Split]:
  check_exists(name, data_dir)
  splits = _read_as_stored(name, wanted, data_dir, stream, transform, tell)
  return {
    part: transform_split(f'--dataset={name}: {part}', split, transform)
    for part, split in splits.items()
  }


def _read_as_stored(
  name: str,
  wanted: Sequence[str],
  data_dir: str,
  stream: str,
  transform: Transform,
  tell: Tell,
) -> Mapping[str, Split]:
  path = pathlib.Path(os.path.expanduser(name))
  suffix = next((x for x in _FILES if name.endswith(x)), '')
  holds_pictures = not suffix and _is_folder(name) and _holds_pictures(path)
  if stream == 'always' and (name in _EMBEDDED or suffix or holds_pictures):
    raise UserError(
      f'--stream=always: got --dataset={name}, which is read into memory, '
      'expected a TFDS set or a folder of .npy. Leave --stream out'
    )
  if suffix:
    return _FILES[suffix](path, transform, tell)
  if transform.image_shape:
    size = ','.join(map(str, transform.image_shape))
    raise UserError(
      f'--image_shape={size}: got --dataset={name}, whose images have a shape, '
      'expected a file of rows. Leave --image_shape out'
    )
  if name in _EMBEDDED:
    return _EMBEDDED[name]()
  if holds_pictures:
    return pictures.read_pictures(path, transform, tell)
  if _is_folder(name):
    return shards.read_folder(path, wanted, stream)
  return tfds_sets.read(name, wanted, data_dir, stream)


def _holds_pictures(folder: pathlib.Path) -> bool:
  """Returns whether a folder is one of images, and not of .npy shards."""
  return not any(folder.glob('*.npy')) and pictures.holds_pictures(folder)
