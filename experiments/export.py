"""Export a trained run: weights, programs and card, to use without vae_jax.

COMMAND: ./launch.sh export --workdir=runs/digits
EXPECTED: export/ in the folder of the run: parameters.safetensors, encode.jax,
  decode.jax and README.md, which says how to load them
WALL TIME: seconds
"""

from collections.abc import Sequence

from vae_jax.runs import flags
from vae_jax.runs.after.exporting import export_run
from vae_jax.runs.config import ExportConfig


def main(argv: Sequence[str]) -> None:
  """Exports the run that the flags name."""
  export_run(flags.parse(ExportConfig, argv))


if __name__ == '__main__':
  flags.run(main)
