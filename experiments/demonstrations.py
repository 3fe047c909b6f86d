"""Show in numbers and figures what the reparameterisation trick does.

COMMAND: python -m experiments.demonstrations
EXPECTED: tables whose z-scores lie within 4, and a figure for each
WALL TIME: under a minute on 2 cores
"""

from collections.abc import Sequence

from vae_jax import flags
from vae_jax.config import DemonstrationsConfig
from vae_jax.lab import demonstrations


def main(argv: Sequence[str]) -> None:
  """Runs every demonstration."""
  demonstrations.run(flags.parse(DemonstrationsConfig, argv))


if __name__ == '__main__':
  flags.run(main)
