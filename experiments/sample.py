"""Sample p(x|z) at z ~ p(z) from a trained run, as a picture and arrays.

COMMAND: ./launch.sh sample --workdir=runs/digits --num_samples=64
EXPECTED: samples/samples.png and samples/samples.npz in the folder of the run
WALL TIME: seconds
"""

from collections.abc import Sequence

from vae_jax.runs import flags
from vae_jax.runs.after.sampling import sample
from vae_jax.runs.config import SampleConfig


def main(argv: Sequence[str]) -> None:
  """Samples the run that the flags name."""
  sample(flags.parse(SampleConfig, argv))


if __name__ == '__main__':
  flags.run(main)
