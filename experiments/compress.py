"""Compress examples losslessly with a trained run: bits-back coding with ANS.

COMMAND: ./launch.sh compress --workdir=runs/digits
EXPECTED: compressed/compressed.bits in the folder of the run, decompressed and
  compared; its nats beside the negative ELBO. --decompress=FILE inverts it
WALL TIME: seconds for the digits; a dozen of CPU per 1,000 MNIST images
"""

from collections.abc import Sequence

from vae_jax.runs import flags
from vae_jax.runs.compress.command import compress
from vae_jax.runs.config import CompressConfig


def main(argv: Sequence[str]) -> None:
  """Compresses the examples that the flags name."""
  compress(flags.parse(CompressConfig, argv))


if __name__ == '__main__':
  flags.run(main)
