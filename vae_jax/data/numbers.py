"""Numbers of a file as 8-bit pixels or real numbers, never as a guess.

All splits are judged together. Whatever is done to the numbers is a sentence
in `Judged.words`.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from vae_jax.errors import UserError

# Whole numbers up to it are exact in float32.
_EXACT = 2**24
_LARGEST = 3e38
# Rounding of v / 255 in float16 or float32, in units of a level.
_LEVEL = 0.1
# Bytes of an array that are judged at a time.
_CHUNK = 2**24


class Judged(NamedTuple):
  """Arrays of all splits after one decision on them.

  Attributes:
    arrays: split -> uint8 `[N, H, W]`, `[N, H, W, C]` or `[N, D]`, or float32
      of these shapes.
    words: sentences on what was done; [] for 8-bit images as stored.
  """

  arrays: dict[str, np.ndarray]
  words: list[str]


class _Facts(NamedTuple):
  """Facts on all numbers: extremes, and of which kind each of them is."""

  low: float
  high: float
  is_whole: bool
  is_levels: bool
  has_missing: bool = False


def judge(name: str, arrays: Mapping[str, np.ndarray]) -> Judged:
  """Turns the numbers of a data set into 8-bit pixels or real numbers.

  Images `[N, H, W]` and `[N, H, W, C]`:

  * whole numbers from 0 to 255 of any dtype, and floats k / 255, are 8-bit
    pixels; zeros and ones are black and white;
  * uint16 beyond 255 is rounded to 8 bits, v / 257;
  * other floats stay real numbers, and so do all where one is missing (NaN).

  Tables `[N, D]` are real numbers, but zeros and ones in integers or booleans
  are black and white pixels.

  Args:
    name: name of the data in messages.
    arrays: name of each array -> its numbers.

  Raises:
    UserError: no numbers, numbers that are infinite or not exact in float32,
      or shapes that are neither of images nor of a table.
  """
  for key, x in arrays.items():
    _check(f'{name}: {key}', x)
  if all(x.dtype == np.uint8 and x.ndim > 2 for x in arrays.values()):
    return Judged(dict(arrays), [])
  each = {key: _facts(f'{name}: {key}', x) for key, x in arrays.items()}
  facts = _join([*each.values()])
  kinds: set[str] = {x.dtype.kind for x in arrays.values()}
  is_table = any(x.ndim == 2 for x in arrays.values())
  dtypes = ', '.join(sorted({str(x.dtype) for x in arrays.values()}))
  if 'f' in kinds and len(kinds) > 1:
    raise UserError(
      f'{name}: got {dtypes}, expected one kind of number in all splits. Store '
      'them alike'
    )
  if is_table:
    return _table(name, arrays, facts, kinds, dtypes)
  _check_alike(name, each)
  if facts.is_whole and facts.low >= 0 and facts.high <= 255:
    words = f'{dtypes} of whole numbers from 0 to {facts.high:g}'
    pixels = 'zeros and ones' if facts.high <= 1 else '8-bit pixels'
    return _apply(arrays, _to_bytes, f'{words}: taken as {pixels}')
  if facts.is_levels:
    words = f'{dtypes} in [0, 1], all multiples of 1/255: taken as 8-bit pixels'
    return _apply(arrays, lambda x: _to_bytes(np.rint(x * 255.0)), words)
  if all(x.dtype == np.uint16 for x in arrays.values()):
    words = f'uint16 up to {facts.high:g}: rounded to 8 bits, v / 257'
    return _apply(arrays, lambda x: _to_bytes(np.rint(x / 257.0)), words)
  if kinds & {'i', 'u'}:
    raise UserError(
      f'{name}: got {dtypes} from {facts.low:g} to {facts.high:g}, expected '
      'images from 0 to 255 or uint16. Store other images as floats'
    )
  return _apply(arrays, _to_reals, f'{dtypes}: {_range(facts)}')


def _check_alike(name: str, each: Mapping[str, _Facts]) -> None:
  """Raises `UserError` where one split is in [0, 1] and another is not."""
  within = [key for key, x in each.items() if x.low >= 0 and x.high <= 1]
  beyond = [key for key, x in each.items() if x.high >= 2]
  if within and beyond:
    raise UserError(
      f'{name}: {beyond[0]} have numbers up to {each[beyond[0]].high:g}, '
      f'expected at most 1 as {within[0]} have. Store all images alike'
    )


def _table(
  name: str,
  arrays: Mapping[str, np.ndarray],
  facts: _Facts,
  kinds: set[str],
  dtypes: str,
) -> Judged:
  """Decides on a table `[N, D]`."""
  is_binary = facts.is_whole and facts.low >= 0 and facts.high <= 1
  if is_binary and 'f' not in kinds:
    return _apply(
      arrays,
      lambda x: _to_bytes(x) * np.uint8(255),
      f'{dtypes} of zeros and ones: taken as black and white',
    )
  if 'f' not in kinds and max(abs(facts.low), abs(facts.high)) > _EXACT:
    raise UserError(
      f'{name}: got {dtypes} from {facts.low:g} to {facts.high:g}, expected '
      f'whole numbers up to {_EXACT}, which are exact in float32. Scale them'
    )
  words = f'{dtypes} of {_width(arrays)} columns: {_range(facts)}'
  if 'f' not in kinds and facts.low >= 0 and facts.high <= 255:
    words += '; --image_shape=H,W would take them as 8-bit pixels'
  return _apply(arrays, _to_reals, words)


def _width(arrays: Mapping[str, np.ndarray]) -> int:
  return int(next(iter(arrays.values())).shape[1])


def _range(facts: _Facts) -> str:
  words = f'taken as real numbers, from {facts.low:.4g} to {facts.high:.4g}'
  return words + (', NaN where missing' if facts.has_missing else '')


def _apply(
  arrays: Mapping[str, np.ndarray],
  function: Callable[[np.ndarray], np.ndarray],
  words: str,
) -> Judged:
  return Judged({key: function(x) for key, x in arrays.items()}, [words])


def _to_bytes(x: np.ndarray) -> np.ndarray:
  return x.astype(np.uint8)


def _to_reals(x: np.ndarray) -> np.ndarray:
  return np.ascontiguousarray(x, np.float32)


def _check(where: str, x: np.ndarray) -> None:
  """Raises `UserError` for an array of other things than numbers."""
  if x.dtype.kind not in 'biuf' or x.ndim not in (2, 3, 4) or not x.size:
    raise UserError(
      f'{where} have dtype {x.dtype} and shape {x.shape}, expected numbers of '
      'shape [N, H, W] or [N, H, W, C] (uint8 for 8-bit pixels), or [N, D], '
      'with N > 0'
    )


def _facts(where: str, x: np.ndarray) -> _Facts:
  """Judges an array in parts; raises `UserError` at infinity, or NaN alone."""
  per_part = max(1, _CHUNK * len(x) // max(1, x.nbytes))
  starts = range(0, len(x), per_part)
  facts = _join([_facts_of(where, x[i : i + per_part]) for i in starts])
  if facts.low > facts.high:
    raise UserError(f'{where} are all NaN, expected numbers. Fill them')
  return facts


def _facts_of(where: str, x: np.ndarray) -> _Facts:
  if x.dtype.kind != 'f':
    return _Facts(float(x.min()), float(x.max()), True, False)
  bad = np.count_nonzero(np.isinf(x))
  if bad:
    raise UserError(
      f'{where} have {bad} numbers that are infinite, expected finite numbers, '
      'or NaN where they are missing. Fill or remove them'
    )
  missing = np.isnan(x)
  has_missing = bool(missing.any())
  if has_missing:
    x = x[~missing]
  low, high = float(x.min(initial=np.inf)), float(x.max(initial=-np.inf))
  if x.size and max(abs(low), abs(high)) > _LARGEST:
    raise UserError(
      f'{where} have numbers of size {max(abs(low), abs(high)):.3g}, expected '
      f'at most {_LARGEST:.0e}, the largest of float32. Scale them'
    )
  if has_missing:  # No 8-bit pixel can be NaN.
    return _Facts(low, high, False, False, True)
  is_whole = bool(np.all(x == np.rint(x)))
  is_levels = low >= 0 and high <= 1
  if is_levels:
    levels = x.astype(np.float64) * 255
    is_levels = bool(np.all(np.abs(levels - np.rint(levels)) < _tolerance(x)))
  return _Facts(low, high, is_whole, is_levels)


def _tolerance(x: np.ndarray) -> float:
  """Returns the rounding of v / 255 in units of a level."""
  return min(_LEVEL, 2 * 255 * float(np.finfo(x.dtype).eps))


def _join(each: list[_Facts]) -> _Facts:
  return _Facts(
    min(x.low for x in each),
    max(x.high for x in each),
    all(x.is_whole for x in each),
    all(x.is_levels for x in each),
    any(x.has_missing for x in each),
  )
