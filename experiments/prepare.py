"""Prepare an image set of tensorflow-datasets; the one use of TensorFlow.

COMMAND: ./launch.sh prepare --dataset=mnist
EXPECTED: a folder that --data_dir=... of the other commands reads
WALL TIME: a minute or two, most of it the download
"""

from collections.abc import Sequence

from vae_jax import data, flags
from vae_jax.config import PrepareConfig


def main(argv: Sequence[str]) -> None:
  """Prepares the set that the flags name."""
  options = flags.parse(PrepareConfig, argv)
  folder = data.prepare(options.dataset, options.data_dir, options.manual_dir)
  print(f'{options.dataset} is ready in {folder}')


if __name__ == '__main__':
  flags.run(main)
