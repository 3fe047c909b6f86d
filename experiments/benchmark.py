"""Time a training step of each estimator, as ratios within one run.

COMMAND: python -m experiments.benchmark
EXPECTED: stl and the score function near 1, iwae of K = 5 two to three
WALL TIME: a minute on 2 cores
"""

from collections.abc import Sequence

from vae_jax import benchmark, flags
from vae_jax.config import BenchmarkConfig


def main(argv: Sequence[str]) -> None:
  """Times the cases on the model that the flags describe."""
  benchmark.run_benchmark(flags.parse(BenchmarkConfig, argv))


if __name__ == '__main__':
  flags.run(main)
