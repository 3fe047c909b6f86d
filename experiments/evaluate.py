"""Estimate the test likelihood of a trained run.

COMMAND: python -m experiments.evaluate --workdir=runs/digits --num_samples=5000
EXPECTED: an NLL a little below that of fewer samples
WALL TIME: seconds on the digits, minutes on 10,000 MNIST images
"""

from collections.abc import Sequence

from vae_jax import evaluation, flags
from vae_jax.config import EvaluateConfig


def main(argv: Sequence[str]) -> None:
  """Evaluates the run in the workdir."""
  evaluation.evaluate_run(flags.parse(EvaluateConfig, argv))


if __name__ == '__main__':
  flags.run(main)
