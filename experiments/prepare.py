"""Prepare a TFDS image data set (the only command that uses TensorFlow).

COMMAND: ./launch.sh prepare --dataset=mnist
EXPECTED: a folder to pass to the other commands as --data_dir=...
WALL TIME: one to two minutes, mostly download
"""

from collections.abc import Sequence

from vae_jax import data
from vae_jax.runs import flags
from vae_jax.runs.config import PrepareConfig


def main(argv: Sequence[str]) -> None:
  """Prepares the data set that the flags select."""
  options = flags.parse(PrepareConfig, argv)
  folder = data.prepare(options.dataset, options.data_dir, options.manual_dir)
  print(f'{options.dataset}: prepared in {folder}')


if __name__ == '__main__':
  flags.run(main)
