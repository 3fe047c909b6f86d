"""Datasets: embedded, .npz files, folders of .npy, tensorflow-datasets."""

import os
import pathlib

from vae_jax.data import local, tfds_sets
from vae_jax.data.beside import KINDS
from vae_jax.data.by_name import (
  EMBEDDED,
  FILE_SUFFIXES,
  Wanted,
  check_exists,
  is_drawn,
  is_folder,
  read,
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
)
from vae_jax.data.whole_file import read_whole_npz
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
  'read_whole_npz',
  'scale_about_mean',
  'transform_batch',
)


def load_train(
  name: str,
  *,
  data_dir: str = '',
  num_validation: int,
  stream: str = 'never',
  train_fraction: float = 1.0,
  beside: tuple[str, ...] = KINDS,
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
    beside: 'y' and 'mask', or those of them that are needed: arrays of an
      .npz beside its images.
    transform: Shape, size and inversion of the images.
    tell: Is called with a sentence on each thing that is done to the numbers.

  Returns:
    (train, validation).

  Raises:
    UserError: The dataset is unknown, not prepared, damaged or not of images.
  """
  wanted = Wanted(('train', 'validation'), beside)
  splits = read(name, wanted, data_dir, stream, transform, tell)
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
  beside: tuple[str, ...] = KINDS,
  transform: Transform = AS_STORED,
) -> Rows:
  """Loads the test split.

  For a dataset without a test split, one is separated from the training
  split. It does not depend on any seed.

  Args:
    name: Name of the dataset, as for `load_train`.
    data_dir: TFDS directory, as for `load_train`.
    stream: As for `load_train`; the test split itself is read into memory.
    beside: As for `load_train`.
    transform: As for `load_train`.

  Raises:
    UserError: The dataset is unknown, not prepared, damaged or not of images.
  """
  wanted = Wanted(('test',), beside)
  test = read(name, wanted, data_dir, stream, transform)['test']
  return in_memory(f'--dataset={name}: test', test)


def class_names(name: str, *, data_dir: str = '') -> list[str]:
  """Returns the names of the classes by integer label; [] if it has none.

  Args:
    name: Name of the dataset, as for `load_train`.
    data_dir: TFDS directory, as for `load_train`.
  """
  if name.endswith('.npz'):
    return local.class_names(pathlib.Path(os.path.expanduser(name)))
  if name in EMBEDDED or name.endswith(FILE_SUFFIXES) or is_folder(name):
    return []
  return tfds_sets.class_names(name, data_dir)
