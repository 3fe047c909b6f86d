"""Reproduce published numbers, each cell of their tables by its name.

COMMAND: ./launch.sh reproduce iwae_1_vae --num_seeds=3
EXPECTED: our NLL +- its standard error beside the published one
WALL TIME: minutes to hours per cell: --list states the known ones, --probe
  measures some steps
"""

from collections.abc import Sequence

from experiments import cells
from experiments.cells.config import ReproduceConfig
from vae_jax.runs import flags


def main(argv: Sequence[str]) -> None:
  """Runs the cells that the arguments name, or lists or tabulates them."""
  cells.run(*flags.parse_with_names(ReproduceConfig, argv))


if __name__ == '__main__':
  flags.run(main)
