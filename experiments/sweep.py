"""Train a grid of runs, one folder each, and compare them.

COMMAND: ./launch.sh sweep --grid="latent_dim=2,10;learning_rate=1e-3,3e-3"
EXPECTED: a folder per run in --workdir (runs/sweep), then the table of compare
WALL TIME: that of train for each run; finished runs are skipped
"""

from collections.abc import Sequence

from vae_jax.runs import flags
from vae_jax.runs.config import SweepConfig
from vae_jax.runs.sweep import sweep


def main(argv: Sequence[str]) -> None:
  """Trains the runs of the grid that the flags describe."""
  sweep(flags.parse(SweepConfig, argv))


if __name__ == '__main__':
  flags.run(main)
