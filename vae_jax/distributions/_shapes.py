"""Shape checks of chex, which is imported by the first of them.

The import of chex takes a tenth of the time of that of jax.
"""

from typing import Any


def assert_rank(inputs: Any, ranks: Any) -> None:
  """Raises AssertionError unless arrays have a rank, or one of a set."""
  import chex

  chex.assert_rank(inputs, ranks)


def assert_equal_shape(inputs: Any) -> None:
  """Raises AssertionError unless all arrays have one shape."""
  import chex

  chex.assert_equal_shape(inputs)
