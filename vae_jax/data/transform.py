"""Shape, size and inversion of images, as options ask for them."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from vae_jax.data.streamed import Examples, Rows, Split, Streamed
from vae_jax.errors import UserError, needs


class Transform(NamedTuple):
  """Shape, size and inversion of images, equal in every split.

  Attributes:
    image_shape: height, width and perhaps channels of the rows of `[N, D]`,
      or of images `[N, H, W, C]` whose sizes could be `[N, C, H, W]`; () to
      leave both as they are.
    resize: height and width to which every image is resized; () for none.
    invert: whether white becomes black.
  """

  image_shape: tuple[int, ...] = ()
  resize: tuple[int, ...] = ()
  invert: bool = False

  def describe(self) -> list[str]:
    """Returns a sentence on each change."""
    size = lambda shape: ' x '.join(map(str, shape))
    lines = []
    if self.image_shape:
      lines.append(f'images are taken as {size(self.image_shape)}')
    if self.resize:
      lines.append(
        f'images are resized to {size(self.resize)} (bilinear, antialiased)'
      )
    if self.invert:
      lines.append('images are inverted: white becomes black')
    return lines


AS_STORED = Transform()


def shape_rows(
  where: str, x: np.ndarray, image_shape: tuple[int, ...]
) -> np.ndarray:
  """Reshapes rows `[N, D]` to images; images of this shape stay.

  Raises:
    UserError: rows of another length, or images of another shape.
  """
  if not image_shape:
    return x
  if x.ndim == 2 and x.shape[1] == math.prod(image_shape):
    return x.reshape(len(x), *image_shape)
  check_image_shape(where, x.shape, image_shape)
  return x


def check_image_shape(
  where: str, shape: tuple[int, ...], image_shape: tuple[int, ...]
) -> None:
  """Raises `UserError` for images of another shape; () admits every one."""
  own = shape[1:]
  if image_shape in ((), own, (*own, 1)) or own == (*image_shape, 1):
    return
  size = ','.join(map(str, image_shape))
  wanted = [math.prod(image_shape)] if len(own) == 1 else image_shape
  raise UserError(
    f'--image_shape={size}: got {where} of shape {shape}, expected '
    f'[N, {", ".join(map(str, wanted))}]. Use the height, width and channels '
    'of the images'
  )


def transform_split(where: str, split: Split, transform: Transform) -> Split:
  """Resizes and inverts images, those on disk when they are read.

  Raises:
    UserError: x are vectors, or real numbers outside [0, 1] to invert.
  """
  for flag in ('resize', 'invert'):
    if getattr(transform, flag) and len(split.x.shape) < 3:
      raise UserError(
        f'--{flag}: got {where} of shape {split.x.shape}, expected images. '
        f'Use --image_shape, or leave --{flag} out'
      )
  x = split.x
  if transform.resize and x.shape[1:3] != transform.resize:
    _check_complete(where, split)
    height, width = transform.resize
    shape = (height, width, *x.shape[3:])
    x = _apply(lambda rows: resize(rows, height, width), x, shape)
    split = split._replace(mask=None)  # Nothing is missing.
  if transform.invert:
    check_invertible(where, x)
    x = _apply(invert, x, x.shape[1:])
  return split._replace(x=x)


def _check_complete(where: str, split: Split) -> None:
  """Raises `UserError` for missing data, which resizing would spread."""
  x = split.x
  if isinstance(x, Streamed):
    return
  has_holes = split.mask is not None and not split.mask.all()
  if has_holes or (x.dtype.kind == 'f' and np.isnan(x).any()):
    raise UserError(
      f'--resize: got {where} with missing data, expected whole images. Leave '
      '--resize out'
    )


def transform_batch(x: np.ndarray, transform: Transform) -> np.ndarray:
  """Does the same to some 8-bit images as they are stored, where they fit.

  Args:
    x: uint8, rows `[N, D]` or images `[N, H, W, C]`.
    transform: changes of the images.
  """
  shape = transform.image_shape
  if x.ndim == 2 and shape and x.shape[1] == math.prod(shape):
    x = x.reshape(len(x), *(*shape, 1)[:3])
  if x.ndim != 4:
    return x
  return np.asarray(transform_split('x', Split(x, None), transform).x)


def _apply(
  function: Callable[[np.ndarray], np.ndarray],
  x: Examples,
  shape: tuple[int, ...],
) -> Examples:
  if not isinstance(x, Streamed):
    return function(x)
  return x.map(lambda rows: Rows(function(rows.x), rows.labels), shape)


def check_invertible(where: str, x: Examples) -> None:
  """Raises `UserError` for real numbers that are no shades of grey."""
  if isinstance(x, Streamed) or x.dtype == np.uint8:
    return
  # Missing numbers are NaN.
  low, high = np.nanmin(x), np.nanmax(x)
  if low < 0 or high > 1:
    raise UserError(
      f'--invert: got {where} from {low:.3g} to {high:.3g}, expected '
      '8-bit pixels or numbers in [0, 1]. Leave --invert out'
    )


def invert(x: np.ndarray) -> np.ndarray:
  """Returns 255 - pixel, or 1 - x for real numbers."""
  return np.uint8(255) - x if x.dtype == np.uint8 else np.float32(1) - x


def resize(x: np.ndarray, height: int, width: int) -> np.ndarray:
  """Resizes images by bilinear interpolation with antialiasing.

  Args:
    x: uint8, uint16 or float32, `[N, H, W]` or `[N, H, W, C]`.
    height: new height.
    width: new width.

  Returns:
    Images of the same dtype, `[N, height, width]` or with C.
  """
  if x.dtype == np.uint16:
    return np.rint(resize(x.astype(np.float32), height, width)).astype(x.dtype)
  image = pillow()
  mode = 'L' if x.dtype == np.uint8 else 'F'
  shape = (len(x), height, width, *x.shape[3:])
  out = np.empty(shape, x.dtype)
  # Channel by channel: images of any number of them.
  planes = x.reshape(*x.shape[:3], -1)
  filled = out.reshape(*shape[:3], -1)
  bilinear = image.Resampling.BILINEAR
  for i, channel in np.ndindex(len(x), planes.shape[3]):
    plane = np.ascontiguousarray(planes[i, :, :, channel])
    one = image.frombytes(mode, plane.shape[::-1], plane.tobytes())
    filled[i, :, :, channel] = np.asarray(one.resize((width, height), bilinear))
  # Weights of rounded sum 1.0000001 would leave [0, 1].
  return np.clip(out, x.min(), x.max())


def pillow() -> Any:
  """Returns the module `PIL.Image`; raises `UserError` if it is missing."""
  with needs():
    from PIL import Image
  return Image
