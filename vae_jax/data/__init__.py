"""Datasets: embedded, .npz files, folders of .npy, tensorflow-datasets."""

import difflib
import os
import pathlib
from collections.abc import Mapping, Sequence

from vae_jax.data import linear_gaussian, local, shards, tfds_sets
from vae_jax.data.condition import Condition, fit_condition
from vae_jax.data.facts import (
  digest,
  grey_share,
  mean_example,
  scale_about_mean,
)
from vae_jax.data.feed import make_batches
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
from vae_jax.data.split import cut
from vae_jax.data.streamed import Examples, Rows, Split, Streamed, in_memory
from vae_jax.data.tfds_sets import prepare
from vae_jax.errors import UserError

__all__ = (
  'STREAM',
  'Condition',
  'Examples',
  'Preprocess',
  'Rows',
  'Split',
  'Streamed',
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
  'is_streamed',
  'load_test',
  'load_train',
  'make_batches',
  'make_preprocess',
  'mean_example',
  'prepare',
  'preprocess_once',
  'scale_about_mean',
)

# Datasets that need neither a file nor a download.
_EMBEDDED = {
  'digits': local.read_digits,
  'linear_gaussian': linear_gaussian.read_linear_gaussian,
}


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
  if name.endswith('.npz'):
    local.check_file(pathlib.Path(os.path.expanduser(name)))
    return
  if _is_folder(name):
    shards.check_folder(pathlib.Path(os.path.expanduser(name)))
    return
  if not tfds_sets.is_known(name):
    _check_no_path(name)
    names = [*_EMBEDDED, *tfds_sets.known_names()]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    raise UserError(
      f'unknown dataset {name!r}: '
      + (f'did you mean {near[0]!r}? ' if near else '')
      + f'Use {" or ".join(_EMBEDDED)}, an image dataset of '
      'tensorflow-datasets such as mnist, a file.npz, or a folder of .npy'
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
      'a file.npz. Save '
      f'the images, uint8 [N, H, W] or [N, H, W, C], with {save}'
    )


def load_train(
  name: str,
  *,
  data_dir: str = '',
  num_validation: int,
  stream: str = 'never',
) -> tuple[Split, Rows]:
  """Loads the training and validation splits; the test split is not read.

  For a dataset without a validation split, one is separated from the training
  split. It does not depend on any seed.

  Args:
    name: Name of an embedded or a TFDS dataset, a path that ends in .npz, or
      a folder of .npy shards, as `shards` describes it.
    data_dir: TFDS directory; '' for $TFDS_DATA_DIR or the default of TFDS.
    num_validation: Number of validation examples to separate, limited to a
      tenth of the training split.
    stream: 'always' to leave the training images of TFDS or of a folder on
      disk, as `Streamed`; 'auto' only if they exceed a quarter of the memory.

  Returns:
    (train, validation).

  Raises:
    UserError: The dataset is unknown, not prepared, damaged or not of images.
  """
  splits = _read(name, ('train', 'validation'), data_dir, stream)
  where = f'--dataset={name}: validation'
  if 'validation' in splits:
    return splits['train'], in_memory(where, splits['validation'])
  train = splits['train']
  if len(train.x) < 10:
    raise UserError(
      f'{name}: has {len(train.x)} training images, too few to separate a '
      'tenth of them for validation; expected at least 10'
    )
  train, held_out = cut(name, train, min(num_validation, len(train.x) // 10))
  return train, in_memory(where, held_out)


def load_test(name: str, *, data_dir: str = '', stream: str = 'never') -> Rows:
  """Loads the test split.

  For a dataset without a test split, one is separated from the training
  split. It does not depend on any seed.

  Args:
    name: Name of the dataset, as for `load_train`.
    data_dir: TFDS directory, as for `load_train`.
    stream: As for `load_train`; the test split itself is read into memory.

  Raises:
    UserError: The dataset is unknown, not prepared, damaged or not of images.
  """
  test = _read(name, ('test',), data_dir, stream)['test']
  return in_memory(f'--dataset={name}: test', test)


def class_names(name: str, *, data_dir: str = '') -> list[str]:
  """Returns the names of the classes by integer label; [] if it has none.

  Args:
    name: Name of the dataset, as for `load_train`.
    data_dir: TFDS directory, as for `load_train`.
  """
  if name in _EMBEDDED or _is_folder(name):
    return []
  if name.endswith('.npz'):
    return local.class_names(pathlib.Path(os.path.expanduser(name)))
  return tfds_sets.class_names(name, data_dir)


def _read(
  name: str, wanted: Sequence[str], data_dir: str, stream: str
) -> Mapping[str, Split]:
  check_exists(name, data_dir)
  path = pathlib.Path(os.path.expanduser(name))
  if stream == 'always' and (name in _EMBEDDED or name.endswith('.npz')):
    raise UserError(
      f'--stream=always: got --dataset={name}, which is read into memory, '
      'expected a TFDS set or a folder of .npy. Leave --stream out'
    )
  if name in _EMBEDDED:
    return _EMBEDDED[name]()
  if name.endswith('.npz'):
    return local.read_npz(path)
  if _is_folder(name):
    return shards.read_folder(path, wanted, stream)
  return tfds_sets.read(name, wanted, data_dir, stream)
