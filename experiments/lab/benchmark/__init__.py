"""Times of training steps, of other people's programs, and of a start."""

from collections.abc import Callable
from typing import Any

from experiments.lab.benchmark import (
  estimators,
  peers,
  scaling,
  startup,
  stream,
)
from experiments.lab.config import BenchmarkConfig

SUITES: dict[str, Callable[[BenchmarkConfig], list[Any]]] = {
  'estimators': estimators.run,
  'peers': peers.run,
  'scaling': scaling.run,
  'startup': startup.run,
  'stream': stream.run,
}


def run_benchmark(options: BenchmarkConfig) -> list[Any]:
  """Runs a suite: prints its tables, writes results.json and figures.

  Raises:
    UserError: no such device, or the folder cannot be written to.
  """
  return SUITES[options.suite](options)
