"""The options of the commands that measure the library itself."""

import dataclasses

from vae_jax.config import shared
from vae_jax.options import option, validate

_draws = option(
  100_000,
  'gradients drawn a point',
  shared.LAB,
  at_least=1000,
  at_most=10**8,
  unit='draws',
)


@dataclasses.dataclass(frozen=True)
class DemonstrationsConfig:
  """The demonstrations of the trick. Raises `UserError` like `Config`."""

  workdir: str = option('runs/demonstrations', 'of the figures', shared.RUN)
  num_draws: int = _draws
  seed: int = shared.seed
  platform: str = shared.platform

  def __post_init__(self) -> None:
    validate(self)


@dataclasses.dataclass(frozen=True)
class GradientVarianceConfig:
  """The comparison of estimators. Raises `UserError` like `Config`."""

  workdir: str = option('runs/gradient_variance', 'of the results', shared.RUN)
  suite: str = option(
    'all',
    'what to compare them on',
    shared.LAB,
    choices=(
      *('all', 'costs', 'families', 'logistic'),
      *('signal_to_noise', 'mixture'),
    ),
  )
  num_draws: int = _draws
  num_steps: int = option(
    5000,
    'of the logistic regression',
    shared.LAB,
    at_least=1,
    at_most=shared.MOST,
    unit='steps',
  )
  seed: int = shared.seed
  platform: str = shared.platform

  def __post_init__(self) -> None:
    validate(self)
