"""Inject faults into training runs (kills, stops, damaged files).

COMMAND: ./launch.sh fault_injection
EXPECTED: 0 arrays changed, 0 metrics changed, 0 silent corruptions
WALL TIME: about five minutes on 2 cores
"""

from collections.abc import Sequence

from experiments import faults
from experiments.faults.config import FaultInjectionConfig
from vae_jax.runs import flags


def main(argv: Sequence[str]) -> None:
  """Injects the number of faults of each kind that the flags give."""
  faults.run(flags.parse(FaultInjectionConfig, argv))


if __name__ == '__main__':
  flags.run(main)
