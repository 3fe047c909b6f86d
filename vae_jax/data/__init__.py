"""Data by name: embedded, from a file, or of tensorflow-datasets."""

import difflib
import os
import pathlib
from collections.abc import Mapping, Sequence

from vae_jax.data import linear_gaussian, local, tfds_sets
from vae_jax.data.binarise import (
  binarise,
  dequantise,
  make_prepare,
  prepare_once,
)
from vae_jax.data.split import Split, cut, mean_example
from vae_jax.data.tabular import load_breast_cancer
from vae_jax.data.tfds_sets import prepare
from vae_jax.errors import UserError

__all__ = (
  'Split',
  'binarise',
  'check_exists',
  'dequantise',
  'load_breast_cancer',
  'load_test',
  'load_train',
  'make_prepare',
  'mean_example',
  'prepare',
  'prepare_once',
)

# Those that need no file and no download.
_EMBEDDED = {
  'digits': local.read_digits,
  'linear_gaussian': linear_gaussian.read_linear_gaussian,
}


def check_exists(name: str, data_dir: str = '') -> None:
  """Raises `UserError`, fast, unless the set is there to be loaded."""
  if name in _EMBEDDED:
    return
  if name.endswith('.npz'):
    if not pathlib.Path(os.path.expanduser(name)).is_file():
      raise UserError(f'--dataset={name}: no such file')
    return
  if not tfds_sets.is_known(name):
    names = [*_EMBEDDED, *tfds_sets.known_names()]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    raise UserError(
      f'unknown dataset {name!r}: '
      + (f'did you mean {near[0]!r}? ' if near else '')
      + f'It may be {", ".join(_EMBEDDED)}, an image set of '
      'tensorflow-datasets such as mnist, or a file.npz'
    )
  tfds_sets.check_prepared(name, data_dir)


def load_train(
  name: str, *, data_dir: str = '', num_validation: int
) -> tuple[Split, Split]:
  """Loads the training and validation splits; the test split is not read.

  A set without a validation split has one cut from train, the same in every
  run.

  Args:
    name: an embedded set, a path that ends in .npz, or a TFDS set.
    data_dir: TFDS directory; '' for $TFDS_DATA_DIR or TFDS's own.
    num_validation: examples held out of train, at most a tenth of it.

  Returns:
    (train, validation).

  Raises:
    UserError: no such set, not prepared, damaged, or not of images.
  """
  splits = _read(name, ('train', 'validation'), data_dir)
  if 'validation' in splits:
    return splits['train'], splits['validation']
  train = splits['train']
  return cut(name, train, min(num_validation, len(train.images) // 10))


def load_test(name: str, *, data_dir: str = '') -> Split:
  """Loads the test split; arguments and errors as those of `load_train`.

  A set without a test split has one cut from it, the same in every run.
  """
  return _read(name, ('test',), data_dir)['test']


def _read(
  name: str, wanted: Sequence[str], data_dir: str
) -> Mapping[str, Split]:
  check_exists(name, data_dir)
  if name in _EMBEDDED:
    return _EMBEDDED[name]()
  if name.endswith('.npz'):
    return local.read_npz(pathlib.Path(os.path.expanduser(name)))
  return tfds_sets.read(name, wanted, data_dir)
