"""Train a VAE and report its log-likelihood on the test split.

COMMAND: ./launch.sh train
EXPECTED: test NLL (K = 500) of about 23.2 nats on the embedded digits
WALL TIME: half a minute on 2 cores
"""

from collections.abc import Sequence

from vae_jax.runs import Config, combinations, flags, train


def main(argv: Sequence[str]) -> None:
  """Trains the run that the flags describe, or resumes it."""
  train(flags.parse(Config, argv, epilogue=combinations.table))


if __name__ == '__main__':
  flags.run(main)
