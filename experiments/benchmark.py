"""Benchmark training steps, other libraries, or the start of a command.

COMMAND: ./launch.sh benchmark
EXPECTED: ratios near 1 for stl and score_function, 2 to 3 for iwae with K = 5
WALL TIME: one minute on 2 cores
"""

from collections.abc import Sequence

from experiments.lab import benchmark
from experiments.lab.config import BenchmarkConfig
from vae_jax.runs import flags


def main(argv: Sequence[str]) -> None:
  """Times every case on the model that the flags describe."""
  benchmark.run_benchmark(flags.parse(BenchmarkConfig, argv))


if __name__ == '__main__':
  flags.run(main)
