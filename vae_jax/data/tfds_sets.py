"""Image sets of tensorflow-datasets, read and prepared.

Reading needs no TensorFlow; preparing does, and is the one thing that does.
"""

import json
import logging
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from vae_jax.data.split import Split, cut_test, make_split
from vae_jax.errors import UserError

# Answers "unknown or just not prepared?" without importing the library.
_COMMON = (
  'binarized_mnist',
  'cifar10',
  'cifar100',
  'emnist',
  'fashion_mnist',
  'kmnist',
  'mnist',
  'omniglot',
  'svhn_cropped',
)
_NAME = re.compile(r'[a-z0-9_]+(/[A-Za-z0-9_.-]+)?')


def data_dir_or_default(data_dir: str) -> pathlib.Path:
  """Returns the TFDS directory: given, from the environment, or TFDS's own."""
  chosen = data_dir or os.environ.get('TFDS_DATA_DIR')
  chosen = chosen or '~/tensorflow_datasets'
  return pathlib.Path(os.path.expanduser(chosen))


def known_names() -> Sequence[str]:
  """Returns the names of all sets that tensorflow-datasets offers."""
  import tensorflow_datasets as tfds

  return tfds.list_builders(with_community_datasets=False)


def is_known(name: str) -> bool:
  """Whether tensorflow-datasets offers a set of this name."""
  if not _NAME.fullmatch(name):
    return False
  base = name.split('/')[0]
  return base in _COMMON or base in known_names()


def check_prepared(name: str, data_dir: str) -> None:
  """Raises `UserError` unless `name` lies prepared in `data_dir`."""
  folder = data_dir_or_default(data_dir) / name
  infos = _dataset_infos(folder)
  if not infos:
    raise UserError(
      f'dataset {name!r} is not prepared: looked for '
      f'{folder}/<version>/dataset_info.json. Either point --data_dir at a '
      'folder that has it, or make it: '
      f'./launch.sh prepare --dataset={name}'
      + (f' --data_dir={data_dir}' if data_dir else '')
    )
  if not any(_file_format(info) == 'array_record' for info in infos):
    raise UserError(
      f'dataset {name!r} in {folder} is not in the array_record format: '
      'prepare it again into another --data_dir'
    )


def _dataset_infos(folder: pathlib.Path) -> list[pathlib.Path]:
  # A set with configurations has one more level: emnist/balanced/3.1.0.
  found: Iterator[pathlib.Path] = folder.glob('*/dataset_info.json')
  return [*found, *folder.glob('*/*/dataset_info.json')]


def _file_format(info: pathlib.Path) -> str | None:
  try:
    return json.loads(info.read_text()).get('fileFormat')
  except (OSError, ValueError, AttributeError, RecursionError) as error:
    raise UserError(
      f'{info}: damaged ({error}); delete its folder and prepare it again'
    ) from None


def read(name: str, wanted: Sequence[str], data_dir: str) -> dict[str, Split]:
  """Reads those of the `wanted` splits that the set has, and no other.

  A set without a test split is cut into train and test.

  Raises:
    UserError: a set that is not prepared, is damaged, or holds no images of
      one size.
  """
  check_prepared(name, data_dir)
  import tensorflow_datasets as tfds

  # Its advice on decoders would cross the progress bar.
  logging.getLogger('absl').setLevel(logging.ERROR)
  folder = data_dir_or_default(data_dir)
  try:
    builder = tfds.builder(name, data_dir=str(folder))
    _check_images(name, builder.info.features)
    there = [split for split in wanted if split in builder.info.splits]
    if 'test' not in builder.info.splits:
      there = list({'train', *there})
    splits = {split: _read_split(name, builder, split) for split in there}
    if 'test' not in builder.info.splits:
      splits |= cut_test(name, splits['train'])
    return splits
  except UserError:
    raise
  # The reader raises whatever its C++ and protobuf parts raise.
  except Exception as error:
    reason = ' '.join(str(error).split())[:200]
    raise UserError(
      f'dataset {name!r} in {folder} cannot be read, its files may be damaged '
      f'({type(error).__name__}: {reason}); prepare it again or use another '
      '--data_dir'
    ) from None


def _check_images(name: str, features: object) -> None:
  shape = getattr(features, 'shape', {})
  if not isinstance(shape, dict) or 'image' not in shape:
    raise UserError(f"dataset {name!r} has no feature 'image'")
  if None in shape['image']:
    raise UserError(
      f'dataset {name!r} has images of different sizes {shape["image"]}: one '
      'array needs one size'
    )


def _read_split(name: str, builder: object, split: str) -> Split:
  source = builder.as_data_source(split=split)  # type: ignore[attr-defined]
  # One batched read: a loop of single reads takes twice as long.
  examples = source.__getitems__(range(len(source)))
  images = np.stack([example['image'] for example in examples])
  labels = None
  if 'label' in examples[0]:
    labels = np.array([example['label'] for example in examples])
  return make_split(name, images, labels)


def prepare(name: str, data_dir: str, manual_dir: str) -> pathlib.Path:
  """Downloads and converts a set; returns the folder that now holds it.

  Args:
    name: a set of tensorflow-datasets, perhaps `name/config`.
    data_dir: where to; as `data_dir_or_default`.
    manual_dir: a folder with the original files, or '' to download them.

  Raises:
    UserError: no TensorFlow, an unknown set, a folder that is not there, a
      failed download or conversion.
  """
  try:
    import importlib_resources  # noqa: F401
    import tensorflow  # noqa: F401
  except ImportError as error:
    raise UserError(
      f'preparing needs the extra `prepare` ({error}): use ./launch.sh '
      "prepare, or pip install 'vae_jax[prepare]'"
    ) from None
  import tensorflow_datasets as tfds

  folder = data_dir_or_default(data_dir)
  download = tfds.download.DownloadConfig(
    manual_dir=manual_dir or None,
    # TFDS keys extracted files by their name alone: sets that share a folder
    # are silently built out of one another's files.
    extract_dir=str(folder / 'downloads' / 'extracted' / name),
  )
  try:
    builder = tfds.builder(
      name, data_dir=str(folder), file_format='array_record'
    )
    builder.download_and_prepare(download_config=download)
  except Exception as error:
    reason = ' '.join(str(error).split())[:300]
    raise UserError(
      f'dataset {name!r} could not be prepared in {folder} '
      f'({type(error).__name__}: {reason}). Without a network, put the '
      'original files in a folder and give it as --manual_dir'
    ) from None
  return pathlib.Path(builder.data_dir)
