"""Background reading of numbered items with grain's threads."""

from collections.abc import Callable, Generator
from typing import TypeVar

from vae_jax.errors import needs

ItemT = TypeVar('ItemT')

# Random access waits for a disk or a network, so threads beyond the cores
# help; each holds one item.
_THREADS, _ITEMS = 4, 4


def read_ahead(
  read: Callable[[int], ItemT], first: int, end: int
) -> Generator[ItemT, None, None]:
  """Yields read(first), ..., read(end - 1) in order, read in advance.

  Closing the generator cancels what is not read yet.

  Args:
    read: pure function of the number; called from several threads.
    first: number of the first item.
    end: number after the last item.
  """
  if first >= end:
    return
  with needs():
    import grain  # Slow to import, and needed only by data on disk.

  def attempt(number: int) -> tuple[ItemT | None, Exception | None]:
    try:
      return read(int(number)), None
    except Exception as error:  # grain would add lines to its message.
      return None, error

  options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_ITEMS)
  items = grain.MapDataset.range(first, end).map(attempt)
  iterator = iter(items.to_iter_dataset(options))
  try:
    for item, error in iterator:
      if error is not None:
        raise error
      yield item
  finally:
    iterator.close()
