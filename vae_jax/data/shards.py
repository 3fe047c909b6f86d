"""Folders of .npy shards.

A folder holds `train-00000.npy`, `train-00001.npy`, ... and `test-00000.npy`,
..., numbered from 0 without a gap, and perhaps `validation-00000.npy`. Each is
a uint8 array `[n, H, W]` or `[n, H, W, C]` as `np.save` writes it; n may differ
between shards. `train_labels-00000.npy`, `[n]`, has the labels of
`train-00000.npy`. A name may state the number of shards, as in
`train-00000-of-00012.npy`, so that a missing last shard is noticed.
"""

import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from vae_jax.data.memory import is_streamed
from vae_jax.data.npy import Shard, read_header, read_rows
from vae_jax.data.split import as_labels, make_splits
from vae_jax.data.streamed import MAX_EXAMPLES, Rows, Split, Streamed, in_memory
from vae_jax.data.transform import check_image_shape
from vae_jax.errors import UserError

_NAME = re.compile(
  r'(train|validation|test)(_labels)?-([0-9]{1,9})(?:-of-([0-9]{1,9}))?\.npy'
)


def read_folder(
  folder: pathlib.Path,
  wanted: Sequence[str],
  stream: str,
  image_shape: tuple[int, ...] = (),
) -> dict[str, Split]:
  """Opens the wanted splits of a folder of shards.

  Args:
    folder: the folder.
    wanted: names of splits; those that the folder lacks are left out.
    stream: as for `is_streamed`; decided by the size of the training split.
    image_shape: height, width and channels of the images, where the shape of
      the shards could be another layout; () otherwise.

  Raises:
    UserError: a shard is missing, damaged, or of another shape or dtype; the
      line names it.
  """
  found = _shards_of(folder)
  # The scale and the channels of all splits are judged together.
  opened = {part: _open(folder, part, *found[part]) for part in found}
  for part, x in opened.items():
    check_image_shape(f'{folder}: {part}', x.shape, image_shape)
  splits = make_splits(
    str(folder),
    {k: (x, None) for k, x in opened.items()},
    is_channels_last=bool(image_shape),
  )
  chosen = {part: splits[part] for part in wanted if part in splits}
  if is_streamed(stream, opened['train'].nbytes):
    return chosen
  name = f'--dataset={folder} --stream={stream}'
  return {k: Split(*in_memory(name, split)) for k, split in chosen.items()}


def check_folder(folder: pathlib.Path) -> None:
  """Raises `UserError` if a shard is missing; opens none."""
  _shards_of(folder)


def _shards_of(
  folder: pathlib.Path,
) -> dict[str, tuple[list[pathlib.Path], list[pathlib.Path]]]:
  """Returns split -> (files of images, files of labels), in order."""
  if not folder.is_dir():
    raise UserError(f'--dataset={folder}: no such folder')
  named: dict[str, dict[int, pathlib.Path]] = {}
  totals: dict[str, set[int | None]] = {}
  for path in sorted(folder.glob('*.npy')):
    match = _NAME.fullmatch(path.name)
    if not match:
      raise UserError(
        f'{path}: got this name, expected one like train-00000.npy, '
        'test-00000.npy or train_labels-00000.npy. Rename or move the file'
      )
    part, labels, number, total = match.groups()
    key = part + (labels or '')
    other = named.setdefault(key, {}).setdefault(int(number), path)
    if other != path:
      raise UserError(
        f'{path}: has the number of {other.name}, expected one file per '
        'number. Move one of them'
      )
    totals.setdefault(key, set()).add(int(total) if total else None)
  files = {
    key: list(_in_order(folder, key, paths, totals[key]))
    for key, paths in named.items()
  }
  for key in files:
    part = key.removesuffix('_labels')
    if part not in files:
      raise UserError(
        f'{files[key][0]}: has labels, expected images of the same number. '
        f'Add {part}-00000.npy'
      )
  for part in ('train', 'test'):
    if part not in files:
      raise UserError(
        f'{folder / part}-00000.npy: missing, expected the first shard of the '
        f'{part} split, as np.save writes it. Add it'
      )
  parts = [key for key in files if not key.endswith('_labels')]
  return {
    part: (files[part], files.get(f'{part}_labels', [])) for part in parts
  }


def _in_order(
  folder: pathlib.Path,
  key: str,
  paths: dict[int, pathlib.Path],
  totals: set[int | None],
) -> Iterator[pathlib.Path]:
  """Yields the shards 0, 1, ...; raises `UserError` at a gap."""
  stated = max((x for x in totals if x is not None), default=0)
  for number in range(max(stated, max(paths) + 1)):
    if number not in paths:
      name = f'{key}-{number:05d}' + (f'-of-{stated:05d}' if stated else '')
      raise UserError(
        f'{folder / name}.npy: missing, expected shards numbered from 0 '
        'without a gap. Add it'
      )
    yield paths[number]


def _open(
  folder: pathlib.Path,
  part: str,
  images: list[pathlib.Path],
  labels: list[pathlib.Path],
) -> Streamed:
  """Reads the headers of a split's shards; no row is read but labels."""
  shards = [read_header(path) for path in images]
  first = shards[0]
  for shard in shards:
    alike = shard.shape[1:] == first.shape[1:] and shard.dtype == first.dtype
    if not alike or shard.dtype != np.uint8 or len(shard.shape) not in (3, 4):
      shape = f'uint8 and [N, {", ".join(map(str, first.shape[1:]))}]'
      if shard is first:
        shape = 'uint8 and [N, H, W] or [N, H, W, C]'
      raise UserError(
        f'{shard.path}: got dtype {shard.dtype} and shape {shard.shape}, '
        f'expected {shape}. Store all images alike'
      )
  counts = [shard.shape[0] for shard in shards]
  if sum(counts) > MAX_EXAMPLES:
    raise UserError(
      f'{folder}: got {sum(counts)} {part} images, expected at most '
      f'{MAX_EXAMPLES}. Use fewer'
    )
  own = _read_labels(labels, shards) if labels else None
  ends = np.cumsum(counts)

  def read(rows: np.ndarray) -> Rows:
    x = read_rows(shards, ends, rows)
    return Rows(x, None if own is None else own[rows])

  return Streamed(read, (sum(counts), *first.shape[1:]))


def _read_labels(
  paths: list[pathlib.Path], shards: Sequence[Shard]
) -> np.ndarray:
  """Reads all labels: few bytes beside those of the images."""
  if len(paths) != len(shards):
    images = [shard.path for shard in shards]
    name = max(paths, images, key=len)[min(len(paths), len(images))]
    raise UserError(
      f'{name}: got {len(paths)} shards of labels, expected {len(shards)}, one '
      'per shard of images. Add or remove it'
    )
  parts = []
  for path, shard in zip(paths, shards, strict=True):
    header = read_header(path)
    rows = np.arange(header.shape[0])
    content = read_rows([header], np.array(header.shape[:1]), rows)
    parts.append(as_labels(f'{path}: labels', content, shard.shape[0]))
  return np.concatenate(parts)
