"""Options of the gradient study, the demonstrations and the benchmark."""

import dataclasses

from vae_jax.runs.config import shared
from vae_jax.runs.config.options import option, validate

_draws = option(
  100_000,
  'number of gradients drawn per point',
  shared.LAB,
  at_least=1000,
  at_most=10**8,
  unit='draws',
)


@dataclasses.dataclass(frozen=True)
class DemonstrationsConfig:
  """Demonstrations of reparameterisation. Raises `UserError` like `Config`."""

  workdir: str = option(
    'runs/demonstrations', 'folder of the figures', shared.RUN
  )
  num_draws: int = _draws
  seed: int = shared.seed
  platform: str = shared.platform
  compile_cache: str = shared.compile_cache

  def __post_init__(self) -> None:
    validate(self)


@dataclasses.dataclass(frozen=True)
class GradientVarianceConfig:
  """Comparison of gradient estimators. Raises `UserError` like `Config`."""

  workdir: str = option(
    'runs/gradient_variance', 'folder of the results', shared.RUN
  )
  suite: str = option(
    'all',
    'problems on which the estimators are compared',
    shared.LAB,
    choices=(
      *('all', 'accuracy', 'costs', 'families', 'logistic'),
      *('signal_to_noise', 'mixture', 'discrete'),
    ),
  )
  num_draws: int = _draws
  num_steps: int = option(
    5000,
    'training steps of the logistic regression',
    shared.LAB,
    at_least=1,
    at_most=shared.MOST,
    unit='steps',
  )
  seed: int = shared.seed
  platform: str = shared.platform
  compile_cache: str = shared.compile_cache

  def __post_init__(self) -> None:
    validate(self)


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
  """Times of steps and of commands. Raises `UserError` like `Config`."""

  workdir: str = option('runs/benchmark', 'folder of the results', shared.RUN)
  suite: str = option(
    'estimators',
    'what is timed: the estimators, the same VAE in other libraries, the '
    'growth with sizes, seeds and devices, the start and end of a command, or '
    'training images from disk',
    shared.LAB,
    choices=('estimators', 'peers', 'scaling', 'startup', 'stream'),
  )
  num_rounds: int = option(
    7,
    'number of rounds; every case is timed in each round',
    shared.LAB,
    at_least=2,
  )
  hidden_sizes: tuple[int, ...] = option(
    (200, 200),
    'hidden layer sizes of the model',
    shared.LAB,
    at_least=1,
    at_most=shared.MANY,
  )
  latent_dim: int = option(
    50,
    'latent dimensions of the model',
    shared.LAB,
    at_least=1,
    at_most=shared.MANY,
  )
  batch_size: int = option(
    100, 'images per step', shared.LAB, at_least=1, at_most=1000, unit='images'
  )
  seed: int = shared.seed
  platform: str = shared.platform
  compile_cache: str = shared.compile_cache

  def __post_init__(self) -> None:
    validate(self)
