"""Compare gradient estimators: bias, variance, signal-to-noise and cost.

COMMAND: python -m experiments.gradient_variance
EXPECTED: every |z| below 5; pathwise best on (x - k)^2, beaten by the score
  function on exp(-10 x^2) and cos(5 x)
WALL TIME: about five minutes on 2 cores; --suite=costs half a minute
"""

from collections.abc import Sequence

from vae_jax import flags
from vae_jax.config import GradientVarianceConfig
from vae_jax.lab import variance


def main(argv: Sequence[str]) -> None:
  """Runs the suites that the flags name."""
  variance.run(flags.parse(GradientVarianceConfig, argv))


if __name__ == '__main__':
  flags.run(main)
