"""Estimate the test log-likelihood of a trained run.

COMMAND: ./launch.sh evaluate --workdir=runs/digits --num_samples=5000
EXPECTED: a slightly lower NLL than with fewer samples
WALL TIME: seconds on the digits, minutes on 10,000 MNIST images
"""

from collections.abc import Sequence

from vae_jax.runs import EvaluateConfig, evaluate, flags


def main(argv: Sequence[str]) -> None:
  """Evaluates the run in the working directory."""
  evaluate(flags.parse(EvaluateConfig, argv))


if __name__ == '__main__':
  flags.run(main)
