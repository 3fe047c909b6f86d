"""Physical memory of this machine."""

import os


def physical_memory() -> int:
  """Returns the physical memory of this machine in bytes."""
  return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
