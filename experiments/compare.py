"""Compare trained runs: a table, a figure, and the options that differ.

COMMAND: ./launch.sh compare runs/a runs/b
EXPECTED: differences from the first run; paired errors after ./launch.sh
  evaluate of every run with one --num_samples
WALL TIME: seconds
"""

import dataclasses
from collections.abc import Sequence

from vae_jax.runs import flags
from vae_jax.runs.after.comparing import compare
from vae_jax.runs.config import CompareConfig


def main(argv: Sequence[str]) -> None:
  """Compares the runs whose folders are given."""
  config, names = flags.parse_with_names(CompareConfig, argv, are_paths=True)
  folders = (*config.workdirs, *names)
  compare(dataclasses.replace(config, workdirs=folders))


if __name__ == '__main__':
  flags.run(main)
