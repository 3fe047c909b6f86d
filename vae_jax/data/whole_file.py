"""All examples of an .npz file, without a split: a user's own data."""

import os
import pathlib
from typing import Any

from vae_jax.data.array_names import NAMES, kind_in
from vae_jax.data.beside import KINDS, attach
from vae_jax.data.counts import make_count_splits
from vae_jax.data.from_arrays import Tell, no_one
from vae_jax.data.local import read_arrays
from vae_jax.data.numbers import judge
from vae_jax.data.split import as_labels, make_split
from vae_jax.data.streamed import Rows, Split, in_memory
from vae_jax.data.transform import (
  AS_STORED,
  Transform,
  shape_rows,
  transform_split,
)
from vae_jax.errors import UserError


def read_whole_npz(
  name: str,
  transform: Transform = AS_STORED,
  *,
  needed: tuple[str, ...] = (),
  tell: Tell = no_one,
) -> Rows:
  """Reads every example of an .npz file, one or more.

  The file has `images` (or `x`) or `counts`, and perhaps `labels`, conditions
  `y` and a `mask`, as `local.read_npz` takes them. It is not split.

  Args:
    name: path of the file.
    transform: shape, size and inversion of the images.
    needed: 'y' and 'mask', or those of them that the caller takes.
    tell: is called with a sentence on each change of the numbers.

  Raises:
    UserError: the file is missing, damaged, or has no such array.
  """
  path = pathlib.Path(os.path.expanduser(name))
  held, arrays = read_arrays(path, needed)
  found: dict[str, Any] = {}
  for key, named in NAMES.items():
    if key in arrays and not named.split:
      found.setdefault(named.kind, arrays[key])
  kind = kind_in(path, {'': found})
  if kind not in found:
    names = ', '.join(map(repr, held[:10])) or 'no array'
    raise UserError(
      f"{path}: got {names}, expected an array 'images' (or 'x') or 'counts'. "
      'Save it with np.savez'
    )
  where, labels = str(path), found.get('labels')
  if kind == 'counts':
    split = make_count_splits(where, {'': (found['counts'], labels)})['']
  else:
    split = _images(where, found['images'], labels, transform, tell)
  beside = {name: found[name] for name in KINDS if name in found}
  split = attach(where, {'': split}, {'': beside}, needed)['']
  return in_memory(where, transform_split(where, split, transform))


def _images(
  where: str, x: Any, labels: Any, transform: Transform, tell: Tell
) -> Split:
  """Returns images `[N, H, W, C]` or a table `[N, D]`, with labels."""
  if not x.size:
    raise UserError(
      f'{where}: got images of shape {x.shape}, expected one example or more'
    )
  shaped = shape_rows(f'{where}: images', x, transform.image_shape)
  judged = judge(where, {'images': shaped})
  for line in judged.words:
    tell(f'{where}: {line}')
  x = judged.arrays['images']
  if x.ndim > 2:
    return make_split(where, x, labels)
  if labels is not None:
    labels = as_labels(f'{where}: labels', labels, len(x))
  return Split(x, labels)
