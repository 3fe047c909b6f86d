"""Pace of a training: steps per compiled call, and examples per second."""

from collections.abc import Callable

Clock = Callable[[], float]

# A signal waits for the end of a call, and the progress bar moves after it.
_SECONDS_PER_CALL = 0.3


class StepsPerCall:
  """Number of steps per compiled call, from the time of the last call."""

  def __init__(self) -> None:
    self._steps = 1

  def next(self, left: int) -> int:
    """Returns the steps of the next call, at most those that are left."""
    return min(self._steps, left)

  def update(self, steps: int, seconds: float) -> None:
    """Adapts to a call; at most doubles, as the first call also compiles."""
    fitting = int(steps * _SECONDS_PER_CALL / max(seconds, 1e-9))
    self._steps = max(1, min(2 * self._steps, fitting))


class Throughput:
  """Examples per second of the present epoch in this process."""

  def __init__(self, clock: Clock) -> None:
    self._clock, self._examples, self._start = clock, 0, clock()

  def add(self, examples: int) -> None:
    """Counts examples."""
    self._examples += examples

  @property
  def rate(self) -> float:
    """Examples per second."""
    return self._examples / max(self._clock() - self._start, 1e-9)
