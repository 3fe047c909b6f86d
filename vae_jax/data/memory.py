"""Physical memory of this machine, and what is held in it."""

import os

from vae_jax.errors import UserError

# A set and its copies, on the device and in floating point, are to fit.
_LARGEST_SHARE = 0.25
STREAM = ('auto', 'always', 'never')


def physical_memory() -> int:
  """Returns the physical memory of this machine in bytes."""
  return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def is_streamed(stream: str, size: int) -> bool:
  """Returns whether examples stay on disk.

  Args:
    stream: 'always', 'never', or 'auto' for those that exceed a quarter of
      the physical memory.
    size: bytes of the examples.
  """
  if stream not in STREAM:
    raise ValueError(f'stream: got {stream!r}, expected one of {STREAM}')
  too_large = size > _LARGEST_SHARE * physical_memory()
  return stream == 'always' or (stream == 'auto' and too_large)


def check_fits(
  where: str, size: int, advice: str = 'Use a smaller set'
) -> None:
  """Raises `UserError` if arrays of `size` bytes exceed the memory."""
  available = physical_memory()
  if size > available:
    raise UserError(
      f'{where}: got {size / 2**30:.3g} GiB of arrays, expected at most the '
      f'memory of this machine, {available / 2**30:.3g} GiB. {advice}'
    )
