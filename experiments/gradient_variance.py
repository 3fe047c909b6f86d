"""Compare gradient estimators: bias, variance, signal-to-noise and cost.

COMMAND: ./launch.sh gradient_variance
EXPECTED: every |z| below 5, but those of estimators marked BIASED. On
  (x - k)^2 the score function with baseline 'delta' has no variance, and
  coupled measure-valued less than pathwise for k near the mean. On
  exp(-10 x^2) and cos(5 x) the score function has less. Of discrete latents
  DisARM has less than the score function.
WALL TIME: about seven minutes on 2 cores; half a minute with --suite=costs
"""

from collections.abc import Sequence

from experiments.lab import variance
from experiments.lab.config import GradientVarianceConfig
from vae_jax.runs import flags


def main(argv: Sequence[str]) -> None:
  """Runs the suites that the flags select."""
  variance.run(flags.parse(GradientVarianceConfig, argv))


if __name__ == '__main__':
  flags.run(main)
