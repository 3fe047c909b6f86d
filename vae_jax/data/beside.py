"""Arrays beside the images of a file: conditions y and masks."""

from collections.abc import Mapping

import numpy as np

from vae_jax.data.streamed import Split
from vae_jax.errors import UserError

KINDS = ('y', 'mask')


def attach(
  name: str,
  splits: Mapping[str, Split],
  arrays: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, Split]:
  """Adds conditions y and masks to splits.

  Args:
    name: name of the data set in messages.
    splits: split -> its examples.
    arrays: split -> 'y' and 'mask', where it has them.

  Raises:
    UserError: an array does not fit the examples, or another split lacks it.
  """
  for kind in KINDS:
    having = [part for part in splits if kind in arrays[part]]
    lacking = [part for part in splits if part not in having]
    if having and lacking:
      raise UserError(
        f'{name}: got {_name(having[0], kind)!r} and no '
        f'{_name(lacking[0], kind)!r}, expected one for each split. Add it'
      )
  return {
    part: _attach(name, part, x, arrays[part]) for part, x in splits.items()
  }


def _attach(
  name: str, part: str, split: Split, arrays: Mapping[str, np.ndarray]
) -> Split:
  y, mask = arrays.get('y'), arrays.get('mask')
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
  if mask is not None:
    mask = _as_mask(f'{name}: {_name(part, "mask")}', mask, split.x.shape)
  return split._replace(y=y, mask=mask)


def _as_mask(
  where: str, mask: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
  """Returns a mask of the shape of x; one of `[N, H, W]` spans the channels."""
  if mask.ndim == len(shape) - 1:
    mask = mask[..., None]
  fits = mask.ndim == len(shape) and all(
    a in (b, 1) for a, b in zip(mask.shape, shape, strict=True)
  )
  if not fits or len(mask) != shape[0] or mask.dtype != bool:
    raise UserError(
      f'{where} has dtype {mask.dtype} and shape {mask.shape}, expected bool '
      f'and {shape}, true where x is observed'
    )
  return np.broadcast_to(mask, shape)


def _name(part: str, kind: str) -> str:
  return f'{part}_{kind}' if part else kind
