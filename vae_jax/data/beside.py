"""Arrays beside the images of a file: conditions y and masks."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from vae_jax.data.streamed import Split
from vae_jax.errors import UserError

# Kind of array -> option that takes it.
OPTIONS = {'y': '--condition=y', 'mask': '--missing=mask'}
KINDS = tuple(OPTIONS)


def attach(
  name: str,
  splits: Mapping[str, Split],
  arrays: Mapping[str, Mapping[str, np.ndarray]],
  needed: Sequence[str] = KINDS,
) -> dict[str, Split]:
  """Adds conditions y and masks to splits.

  Args:
    name: name of the data set in messages.
    splits: split -> its examples.
    arrays: split -> 'y' and 'mask', where it has them.
    needed: kinds that must fit the examples. A mask that is not needed is
      added where it fits, because its missing data must be noticed.

  Raises:
    UserError: a needed array does not fit the examples, or another split
      lacks it.
  """
  for kind in needed:
    having = [part for part in splits if kind in arrays[part]]
    lacking = [part for part in splits if part not in having]
    if having and lacking:
      raise UserError(
        f'{name}: got {_name(having[0], kind)!r} and no '
        f'{_name(lacking[0], kind)!r}, expected one for each split. Add it'
      )
  return {
    part: _attach(name, part, x, arrays[part], needed)
    for part, x in splits.items()
  }


def _attach(
  name: str,
  part: str,
  split: Split,
  arrays: Mapping[str, np.ndarray],
  needed: Sequence[str],
) -> Split:
  y = arrays.get('y') if 'y' in needed else None
  mask = arrays.get('mask')
  if y is not None and (y.ndim not in (1, 2) or len(y) != len(split.x)):
    raise UserError(
      f'{name}: {_name(part, "y")} has shape {y.shape}, expected '
      f'({len(split.x)},) or ({len(split.x)}, D), one condition per example'
    )
  if y is not None and y.dtype.kind not in 'biufSU':
    raise UserError(
      f'{name}: {_name(part, "y")} has dtype {y.dtype}, expected classes or '
      'real numbers'
    )
  known = None if mask is None else _as_mask(mask, split.x.shape)
  if mask is not None and known is None and 'mask' in needed:
    raise UserError(
      f'{name}: {_name(part, "mask")} has dtype {mask.dtype} and shape '
      f'{mask.shape}, expected bool and {split.x.shape}, true where x is '
      'observed'
    )
  return split._replace(y=y, mask=known)


def _as_mask(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
  """Returns a mask of the shape of x, or None if it does not fit.

  One of `[N, H, W]` spans the channels, and rows `[N, D]` are shaped as x.
  """
  if mask.dtype != bool or mask.shape[:1] != shape[:1]:
    return None
  if mask.ndim == 2 and mask.shape[1] == math.prod(shape[1:]):
    return mask.reshape(shape)
  if mask.ndim == len(shape) - 1:
    mask = mask[..., None]
  fits = mask.ndim == len(shape) and all(
    a in (b, 1) for a, b in zip(mask.shape, shape, strict=True)
  )
  return np.broadcast_to(mask, shape) if fits else None


def _name(part: str, kind: str) -> str:
  return f'{part}_{kind}' if part else kind
