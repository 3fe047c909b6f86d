"""The options of `evaluate` and `prepare`."""

import dataclasses

from vae_jax.config import shared
from vae_jax.options import option, validate


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
  """An evaluation of a trained run. Raises `UserError` like `Config`."""

  workdir: str = option(
    '', 'of the run; empty: the newest one in runs/', shared.RUN
  )
  checkpoint: str = option(
    'latest',
    'to measure; best has the highest ELBO on validation',
    shared.RUN,
    choices=('latest', 'best'),
  )
  split: str = option(
    'test', 'to measure', shared.DATA, choices=('train', 'validation', 'test')
  )
  num_examples: int = option(
    0,
    'the first of the split; 0: all',
    shared.DATA,
    at_least=0,
    unit='examples',
  )
  num_samples: int = option(
    5000,
    'importance samples an example',
    shared.LIKELIHOOD,
    at_least=1,
    at_most=shared.MOST,
    unit='K',
  )
  dead_units: bool = option(
    False, 'measure the NLL again with dead units taken out', shared.LIKELIHOOD
  )
  gaps: bool = option(
    False,
    "split the bound's gap: the family's and the encoder's",
    shared.LIKELIHOOD,
  )
  num_gap_examples: int = option(
    100, 'of --gaps', shared.LIKELIHOOD, at_least=1, unit='examples'
  )
  sandwich: bool = option(
    False,
    'annealing: log p(x) from below, and on simulated data both ways',
    shared.LIKELIHOOD,
  )
  num_sandwich_examples: int = option(
    64, 'of --sandwich', shared.LIKELIHOOD, at_least=1, unit='examples'
  )
  num_chains: int = option(
    16,
    'of --sandwich, an example',
    shared.LIKELIHOOD,
    at_least=1,
    at_most=shared.MANY,
  )
  num_temperatures: int = option(
    1000,
    'of --sandwich, both ends counted',
    shared.LIKELIHOOD,
    at_least=2,
    at_most=shared.MANY,
  )
  data_dir: str = shared.data_dir
  platform: str = shared.platform

  def __post_init__(self) -> None:
    validate(self)


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
  """The preparation of a TFDS set. Raises `UserError` like `Config`."""

  dataset: str = option('mnist', 'a TFDS image set', shared.DATA)
  data_dir: str = shared.data_dir
  manual_dir: str = option(
    '', 'folder with the original files; empty: download them', shared.DATA
  )

  def __post_init__(self) -> None:
    validate(self)
