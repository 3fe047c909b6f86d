"""Reconstruct your images, or those of the run, beside the originals.

COMMAND: ./launch.sh reconstruct --workdir=runs/digits --dataset=images.npz
EXPECTED: reconstructions/ in the folder of the run, with a picture and arrays
WALL TIME: seconds
"""

from collections.abc import Sequence

from vae_jax.runs import flags
from vae_jax.runs.after.reconstruction import reconstruct
from vae_jax.runs.config import ReconstructConfig


def main(argv: Sequence[str]) -> None:
  """Reconstructs the examples that the flags name."""
  reconstruct(flags.parse(ReconstructConfig, argv))


if __name__ == '__main__':
  flags.run(main)
