"""Demonstrate the reparameterisation trick with tables and figures.

COMMAND: ./launch.sh demonstrations
EXPECTED: one table and one figure per demonstration, every |z| below 4
WALL TIME: under a minute on 2 cores
"""

from collections.abc import Sequence

from experiments.lab import demonstrations
from experiments.lab.config import DemonstrationsConfig
from vae_jax.runs import flags


def main(argv: Sequence[str]) -> None:
  """Runs every demonstration."""
  demonstrations.run(flags.parse(DemonstrationsConfig, argv))


if __name__ == '__main__':
  flags.run(main)
