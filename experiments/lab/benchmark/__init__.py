"""Times of training steps: the estimators, and other people's programs."""

from collections.abc import Callable

from experiments.lab.benchmark import estimators, peers
from experiments.lab.benchmark.timing import Timing
from experiments.lab.config import BenchmarkConfig

SUITES: dict[str, Callable[[BenchmarkConfig], list[Timing]]] = {
  'estimators': estimators.run,
  'peers': peers.run,
}


def run_benchmark(options: BenchmarkConfig) -> list[Timing]:
  """Runs a suite: prints its tables, writes results.json and figures.

  Raises:
    UserError: no such device, or the folder cannot be written to.
  """
  return SUITES[options.suite](options)
