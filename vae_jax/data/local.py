"""Data without a download: the embedded digits, .npz and .npy files."""

import importlib.util
import math
import os
import pathlib
import warnings
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np

from vae_jax.data.array_names import CLASS_NAMES, NAMES, choose_parts, kind_in
from vae_jax.data.beside import KINDS, OPTIONS, attach
from vae_jax.data.counts import make_count_splits
from vae_jax.data.from_arrays import Tell, from_arrays, no_one
from vae_jax.data.memory import physical_memory
from vae_jax.data.npy import read_header, read_rows
from vae_jax.data.split import Split, cut_test, make_split, printable
from vae_jax.data.transform import AS_STORED, Transform
from vae_jax.errors import UserError, needs

_HEADERS = {
  1: np.lib.format.read_array_header_1_0,
  2: np.lib.format.read_array_header_2_0,
}


def read_digits() -> Mapping[str, Split]:
  """Returns the 1,797 handwritten 8x8 digits of scikit-learn.

  The split into train and test is fixed.

  References:
    Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI.
  """
  pixels, labels = _read_sklearn_digits()
  images = np.round(pixels * (255 / 16)).astype(np.uint8)
  whole = make_split('digits', images, labels)
  return cut_test('digits', whole)


def read_digits_counts() -> Mapping[str, Split]:
  """Returns the digits as counts: their grey levels are 0 to 16.

  A level is the number of black pixels in a block of 4 x 4 of the scan. The
  split is that of `read_digits`.
  """
  levels, labels = _read_sklearn_digits()
  parts = {'': (levels.astype(np.int32), labels)}
  return cut_test(
    'digits_counts', make_count_splits('digits_counts', parts)['']
  )


def _read_sklearn_digits() -> tuple[np.ndarray, np.ndarray]:
  """Returns pixels in [0, 16], `[N, 8, 8]`, and labels, `[N]`."""
  package = importlib.util.find_spec('sklearn')
  # The file itself: scikit-learn takes a second to import.
  for folder in package.submodule_search_locations or () if package else ():
    path = pathlib.Path(folder, 'datasets', 'data', 'digits.csv.gz')
    if path.is_file():
      rows = np.loadtxt(path, delimiter=',')
      return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(int)
  with needs():
    from sklearn import datasets

  digits = datasets.load_digits()
  return digits.images, digits.target


def read_npz(
  path: pathlib.Path,
  transform: Transform = AS_STORED,
  tell: Tell = no_one,
  needed: Sequence[str] = KINDS,
) -> Mapping[str, Split]:
  """Reads images, a table or counts from an .npz file, from any source.

  The file contains `images` (or `x`), and optionally `labels`, `[N]`; they are
  split at random, but always alike. Alternatively it contains its own split:
  `train_images` and `test_images` (or `x_train` and `x_test`), and optionally
  `val_images` and the labels of each, such as `train_labels` or `y_train`.
  Whole numbers of any integer dtype named `counts`, `[N, D]`, in the place of
  `images`, are taken as counts. Beside the labels there may be conditions `y`,
  classes `[N]` or covariates `[N, D]`, such as `train_y`, and a `mask` of the
  observed numbers.

  Args:
    path: The file.
    transform: Shape of the images in rows `[N, D]`.
    tell: Is called with a sentence on each change of the numbers.
    needed: 'y' and 'mask', or those of them that the caller takes. A mask of
      missing data is read in any case.

  Raises:
    UserError: The file is missing, not an .npz archive, damaged, or has other
      arrays.
  """
  held, arrays = read_arrays(path, needed)
  found: dict[str, dict[str, np.ndarray]] = {}
  for name, named in NAMES.items():
    if name in arrays:
      found.setdefault(named.split, {}).setdefault(named.kind, arrays[name])
  kind = kind_in(path, found)
  parts = choose_parts(path, found, kind, held)
  beside = {
    part: {name: found[part][name] for name in KINDS if name in found[part]}
    for part in parts
  }
  if kind == 'counts':
    splits = make_count_splits(str(path), parts)
    splits = attach(str(path), splits, beside, needed)
    splits = cut_test(str(path), splits['']) if '' in splits else splits
  else:
    splits = from_arrays(str(path), parts, transform, tell, beside, needed)
  _tell_left_out(path, held, splits, tell)
  return splits


def _tell_left_out(
  path: pathlib.Path,
  held: Sequence[str],
  splits: Mapping[str, Split],
  tell: Tell,
) -> None:
  """Reports the arrays `y` and `mask` of a file that no split has."""
  for name in held:
    own = _kind_of(name)
    if own in OPTIONS and all(getattr(x, own) is None for x in splits.values()):
      tell(f'{path}: the array {name} is left out; {OPTIONS[own]} takes it')


def read_npy(
  path: pathlib.Path, transform: Transform, tell: Tell
) -> Mapping[str, Split]:
  """Reads images or a table from an .npy file; there are no labels.

  Raises:
    UserError: The file is missing, damaged, or of Python objects.
  """
  check_file(path)
  shard = read_header(path)
  _check_size(path, shard.stamp[0])
  rows = np.arange(shard.shape[0])
  x = read_rows([shard], np.array(shard.shape[:1]), rows)
  return from_arrays(str(path), {'': (x, None)}, transform, tell)


def class_names(path: pathlib.Path) -> list[str]:
  """Returns the array `class_names`, by label from 0 or 1; [] without one."""
  try:
    _, arrays = read_arrays(path, ())
  except (
    UserError
  ):  # Names decorate a figure; `read_npz` reports what is wrong.
    return []
  names = arrays.get(CLASS_NAMES, np.zeros(0))
  if names.ndim != 1 or names.dtype.kind not in 'SU':
    return []
  labels = [
    x for key, x in arrays.items() if _kind_of(key) == 'labels' and x.size
  ]
  from_one = all(x.dtype.kind in 'iu' and x.min() > 0 for x in labels) and max(
    (int(x.max()) for x in labels), default=0
  ) == len(names)
  return [''] * from_one + [printable(name) for name in names.tolist()]


def check_file(path: pathlib.Path) -> None:
  """Raises `UserError` unless a path is that of a regular file."""
  if not os.path.isfile(path):
    reason = 'is not a regular file' if os.path.exists(path) else 'no such file'
    raise UserError(f'--dataset={path}: {reason}')


def read_arrays(
  path: pathlib.Path, needed: Sequence[str]
) -> tuple[list[str], dict[str, np.ndarray]]:
  """Returns the names of all arrays, and the arrays that are read.

  Raises:
    UserError: The file is missing, not an .npz archive, or damaged.
  """
  check_file(path)
  try:
    with warnings.catch_warnings(action='ignore'):
      return _unpack(path, needed)
  except UserError:
    raise
  # A forged archive makes zipfile, its codecs and NumPy raise many exceptions.
  except Exception as error:
    reason = f'{type(error).__name__}: {" ".join(str(error).split())[:200]}'
    raise UserError(
      f'{path}: cannot be read as an .npz file; it may be damaged ({reason})'
    ) from None


def _unpack(
  path: pathlib.Path, needed: Sequence[str]
) -> tuple[list[str], dict[str, np.ndarray]]:
  with path.open('rb') as file:
    start = file.read(4)
    if start[:2] != b'PK':
      raise ValueError('it is an .npy array' if b'NUM' in start else 'no zip')
    with zipfile.ZipFile(file) as archive:
      members = {
        info.filename.removesuffix('.npy'): info for info in archive.infolist()
      }
      wanted = [name for name in members if _is_wanted(name, needed)]
      _check_size(path, sum(members[name].file_size for name in wanted))
      arrays = {}
      for name in wanted:
        only = bool if _kind_of(name) in {*KINDS} - {*needed} else None
        array = _read_array(archive, members[name], only)
        if array is not None:
          arrays[name] = array
  return [*members], arrays


def _kind_of(name: str) -> str:
  return NAMES[name].kind if name in NAMES else ''


def _is_wanted(name: str, needed: Sequence[str]) -> bool:
  """Returns whether an array is read; a mask may be that of missing data."""
  is_beside = _kind_of(name) in KINDS
  if is_beside and _kind_of(name) not in ('mask', *needed):
    return False
  return name == CLASS_NAMES or name in NAMES


def _check_size(path: pathlib.Path, size: int) -> None:
  """Raises `UserError` if the unpacked arrays exceed the physical memory."""
  available = physical_memory()
  if size > available:
    raise UserError(
      f'{path}: unpacks to {size / 2**30:.3g} GiB, but this machine has '
      f'{available / 2**30:.3g} GiB of memory'
    )


def _read_array(
  archive: zipfile.ZipFile, member: zipfile.ZipInfo, only: type | None = None
) -> np.ndarray | None:
  """Reads one .npy member.

  Args:
    archive: the file.
    member: place of the array.
    only: the one dtype that is read; None for any.

  Returns:
    The array, or None for one of another dtype.

  Raises:
    Exception: Of many types, if the member is damaged.
  """
  # zipfile unpacks other methods without a bound on the memory.
  if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
    raise ValueError(f'use np.savez_compressed to pack {member.filename}')
  with archive.open(member) as file:
    major, _ = np.lib.format.read_magic(file)
    shape, by_columns, dtype = _HEADERS[major](file)
    if only is not None and dtype != only:
      return None
    if dtype.hasobject:
      raise ValueError(f'{member.filename} consists of Python objects')
    size = math.prod(shape) * dtype.itemsize
    # Checked first: an array of a forged shape may not fit in memory.
    if min(shape, default=0) < 0 or size != member.file_size - file.tell():
      raise ValueError(f'{member.filename} has not the size of its shape')
    content = file.read()
  return np.ndarray(shape, dtype, content, order='F' if by_columns else 'C')
