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


@dataclasses.dataclass(frozen=True)
class FaultInjectionConfig:
  """Faults put into a training run. Raises `UserError` like `Config`."""

  workdir: str = option('runs/fault_injection', 'of the runs', shared.RUN)
  num_kills: int = option(
    50,
    'SIGKILLs, half of them within the writing of a checkpoint',
    shared.LAB,
    at_least=0,
  )
  num_stops: int = option(20, 'SIGTERMs', shared.LAB, at_least=0)
  num_flips: int = option(
    300, 'bits flipped in checkpoint files', shared.LAB, at_least=0
  )
  num_truncations: int = option(
    100, 'checkpoint files cut short', shared.LAB, at_least=0
  )
  num_epochs: int = option(
    1000,
    'of the run; enough to last through the kills',
    shared.LAB,
    at_least=1,
    at_most=shared.MANY,
  )
  seed: int = shared.seed
  platform: str = shared.platform

  def __post_init__(self) -> None:
    validate(self)


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
  """The timing of the estimators. Raises `UserError` like `Config`."""

  workdir: str = option('runs/benchmark', 'of the results', shared.RUN)
  num_rounds: int = option(
    7, 'in each of which every case is timed', shared.LAB, at_least=2
  )
  hidden_sizes: tuple[int, ...] = option(
    (200, 200), 'of the model', shared.LAB, at_least=1, at_most=shared.MANY
  )
  latent_dim: int = option(
    50, 'of the model', shared.LAB, at_least=1, at_most=shared.MANY
  )
  batch_size: int = option(
    100, 'of a step', shared.LAB, at_least=1, at_most=1000, unit='images'
  )
  seed: int = shared.seed
  platform: str = shared.platform

  def __post_init__(self) -> None:
    validate(self)
