"""Encode a data set: means, scales and draws of q(z|x), and labels.

COMMAND: ./launch.sh encode --workdir=runs/digits
EXPECTED: encoded/encoded.npz in the folder of the run
WALL TIME: seconds
"""

from collections.abc import Sequence

from vae_jax.runs import flags
from vae_jax.runs.after.encoding import encode
from vae_jax.runs.config import EncodeConfig


def main(argv: Sequence[str]) -> None:
  """Encodes the examples that the flags name."""
  encode(flags.parse(EncodeConfig, argv))


if __name__ == '__main__':
  flags.run(main)
