"""Image datasets of tensorflow-datasets (TFDS): reading and preparing.

Reading works without TensorFlow; only `prepare` needs it.
"""

import json
import logging
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vae_jax.data.memory import is_streamed
from vae_jax.data.split import cut_test, has_two_levels, make_splits
from vae_jax.data.streamed import Examples, Split, Streamed, in_memory
from vae_jax.data.tfds_records import open_split
from vae_jax.errors import UserError, command, installation, needs

# Names that are known without importing tensorflow_datasets, which is slow.
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
_SPLITS = ('train', 'validation', 'test')
_NAME = re.compile(r'[a-z0-9_]+(/[A-Za-z0-9_.-]+)?')


def data_dir_or_default(data_dir: str) -> pathlib.Path:
  """Returns `data_dir`, else $TFDS_DATA_DIR, else the default of TFDS."""
  chosen = data_dir or os.environ.get('TFDS_DATA_DIR')
  chosen = chosen or '~/tensorflow_datasets'
  return pathlib.Path(os.path.expanduser(chosen))


def _tfds() -> Any:
  """Returns the module `tensorflow_datasets`, which is slow to import."""
  with needs():
    import tensorflow_datasets as tfds
  return tfds


def known_names() -> Sequence[str]:
  """Returns the names of all TFDS datasets."""
  return _tfds().list_builders(with_community_datasets=False)


def is_known(name: str) -> bool:
  """Returns whether TFDS has a dataset of this name."""
  if not _NAME.fullmatch(name):
    return False
  base = name.split('/')[0]
  return base in _COMMON or base in known_names()


def check_prepared(name: str, data_dir: str) -> None:
  """Raises `UserError` unless a dataset is prepared in `data_dir`."""
  folder = data_dir_or_default(data_dir) / name
  infos = _dataset_infos(folder)
  _check_regular(infos)
  if not infos:
    raise UserError(
      f'dataset {name!r} is not prepared: '
      f'{folder}/<version>/dataset_info.json does not exist. Set --data_dir '
      'to the folder that contains it, or prepare it with '
      f'{command("prepare")} --dataset={name}'
      + (f' --data_dir={data_dir}' if data_dir else '')
    )
  if not any(_file_format(info) == 'array_record' for info in infos):
    raise UserError(
      f'dataset {name!r}: {folder} is not in the array_record format. '
      'Prepare it again in another --data_dir'
    )


def _dataset_infos(folder: pathlib.Path) -> list[pathlib.Path]:
  # Datasets with configurations have one more level: emnist/balanced/3.1.0.
  found: Iterator[pathlib.Path] = folder.glob('*/dataset_info.json')
  return [*found, *folder.glob('*/*/dataset_info.json')]


def _check_regular(infos: Sequence[pathlib.Path]) -> None:
  """Raises `UserError` at a pipe or a device, from which TFDS would read."""
  for path in (path for info in infos for path in info.parent.rglob('*')):
    if path.exists() and not (path.is_file() or path.is_dir()):
      raise UserError(f'{path}: is not a regular file. Delete it')


def _file_format(info: pathlib.Path) -> str | None:
  try:
    return json.loads(info.read_text()).get('fileFormat')
  except (OSError, ValueError, AttributeError, RecursionError) as error:
    raise UserError(
      f'{info}: damaged ({error}). Delete its folder and prepare it again'
    ) from None


def read(
  name: str, wanted: Sequence[str], data_dir: str, stream: str = 'never'
) -> dict[str, Split]:
  """Reads the wanted splits that a dataset has.

  A dataset without a test split is split into train and test.

  Args:
    name: TFDS dataset, optionally `name/config`.
    wanted: Names of splits; the others are not read.
    data_dir: TFDS directory, as for `data_dir_or_default`.
    stream: As for `is_streamed`. All splits stay on disk, or none does.

  Raises:
    UserError: The dataset is not prepared, damaged, or not of images of one
      size.
  """
  check_prepared(name, data_dir)
  tfds = _tfds()
  # Its warnings about decoders would interrupt the progress bar.
  logging.getLogger('absl').setLevel(logging.ERROR)
  folder = data_dir_or_default(data_dir)
  try:
    builder = tfds.builder(name, data_dir=str(folder))
    _check_images(name, builder.info.features)
    opened = {
      split: open_split(builder, split)
      for split in _SPLITS
      if split in builder.info.splits
    }
    return _read_splits(name, wanted, opened, stream)
  except UserError:
    raise
  # The C++ and protobuf code of the reader raises exceptions of many types.
  except Exception as error:
    reason = ' '.join(str(error).split())[:200]
    raise UserError(
      f'dataset {name!r}: cannot be read from {folder}; its files may be '
      f'damaged ({type(error).__name__}: {reason}). Prepare it again or use '
      'another --data_dir'
    ) from None


def _check_images(name: str, features: object) -> None:
  shape = getattr(features, 'shape', {})
  if not isinstance(shape, dict) or 'image' not in shape:
    raise UserError(f"dataset {name!r}: has no feature 'image'")
  if None in shape['image']:
    raise UserError(
      f'dataset {name!r}: has images of different sizes {shape["image"]}, '
      'expected one size'
    )
  dtype = np.dtype(getattr(features, 'np_dtype', {}).get('image', 'u1'))
  if dtype != np.uint8:
    raise UserError(
      f'dataset {name!r}: has images of dtype {dtype}, expected uint8'
    )


def _read_splits(
  name: str,
  wanted: Sequence[str],
  opened: Mapping[str, Streamed],
  stream: str,
) -> dict[str, Split]:
  """Reads the wanted splits, or leaves them on disk."""
  names = [split for split in wanted if split in opened]
  if 'test' not in opened:
    names = list({'train', *names})
  size = opened['train'].nbytes if 'train' in opened else 0
  streamed = is_streamed(stream, size)
  where = f'--dataset={name} --stream={stream}'

  def read(split: str) -> Split:
    on_disk = Split(opened[split], None)
    return on_disk if streamed else Split(*in_memory(where, on_disk))

  parts = {split: read(split) for split in names}
  if any(_needs_others(part.x) for part in parts.values()):
    parts |= {split: read(split) for split in opened if split not in parts}
  # The layout of `tfds.features.Image`.
  splits = make_splits(
    name,
    {k: (x.x, x.labels) for k, x in parts.items()},
    is_channels_last=True,
  )
  if 'test' not in opened:
    splits |= cut_test(name, splits['train'])
  return splits


def _needs_others(images: Examples) -> bool:
  """Returns whether the scale or channels depend on the other splits too."""
  return images.shape[-1] != 1 or has_two_levels(images)


def class_names(name: str, data_dir: str) -> list[str]:
  """Returns the names of the classes, by label; [] for a set without them."""
  tfds = _tfds()
  folder = data_dir_or_default(data_dir)
  try:
    features = tfds.builder(name, data_dir=str(folder)).info.features
    return [str(each) for each in features['label'].names]
  # Names decorate a figure; `read` reports what is wrong with a dataset.
  except Exception:
    return []


def prepare(name: str, data_dir: str, manual_dir: str) -> pathlib.Path:
  """Downloads a dataset and converts it to the array_record format.

  Args:
    name: TFDS dataset, optionally `name/config`.
    data_dir: TFDS directory, as for `data_dir_or_default`.
    manual_dir: Folder with the original files; '' to download them.

  Returns:
    Folder of the prepared dataset.

  Raises:
    UserError: TensorFlow is not installed, the dataset is unknown, a folder
      is missing, or the download or the conversion fails.
  """
  try:
    import importlib_resources  # noqa: F401
    import tensorflow  # noqa: F401
  except ImportError as error:
    raise UserError(
      f'preparing a dataset needs the extra `prepare` ({error}). Use '
      f'./launch.sh prepare, or {installation("prepare")}'
    ) from None
  tfds = _tfds()
  folder = data_dir_or_default(data_dir)
  download = tfds.download.DownloadConfig(
    manual_dir=manual_dir or None,
    # TFDS identifies extracted files by file name only. Datasets with a
    # common folder would silently be built from each other's files.
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
      f'dataset {name!r}: could not be prepared in {folder} '
      f'({type(error).__name__}: {reason}). Without a network, put the '
      'original files into a folder and set --manual_dir to it'
    ) from None
  return pathlib.Path(builder.data_dir)
