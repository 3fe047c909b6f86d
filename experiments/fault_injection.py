"""Kill, stop and damage a training run, and count what is lost: nothing.

COMMAND: python -m experiments.fault_injection
EXPECTED: 0 leaves and 0 metrics changed, 0 damages that were silent
WALL TIME: about ten minutes on 2 cores
"""

from collections.abc import Sequence

from vae_jax import faults, flags
from vae_jax.config import FaultInjectionConfig


def main(argv: Sequence[str]) -> None:
  """Injects as many faults of each kind as the flags say."""
  faults.run(flags.parse(FaultInjectionConfig, argv))


if __name__ == '__main__':
  flags.run(main)
