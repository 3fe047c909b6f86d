"""The options of `evaluate` and `prepare`."""

import dataclasses

from vae_jax.runs.config import shared
from vae_jax.runs.config.options import option, validate


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
  """An evaluation of a trained run. Raises `UserError` like `Config`."""

  workdir: str = shared.trained_workdir
  checkpoint: str = shared.checkpoint
  parameters: str = shared.parameters
  dataset: str = option(
    '',
    'present name or path of the data of the run; empty: the recorded one',
    shared.DATA,
  )
  split: str = option(
    'test',
    'split to evaluate',
    shared.DATA,
    choices=('train', 'validation', 'test'),
  )
  num_examples: int = option(
    0,
    'number of examples from the start of the split; 0: all',
    shared.DATA,
    at_least=0,
    unit='examples',
  )
  num_samples: int = option(
    5000,
    'importance samples per example',
    shared.LIKELIHOOD,
    at_least=1,
    at_most=shared.MOST,
    unit='K',
  )
  dead_units: bool = option(
    False, 'estimate the NLL again without inactive units', shared.LIKELIHOOD
  )
  gaps: bool = option(
    False,
    'decompose log p(x) - ELBO into approximation and amortisation gap',
    shared.LIKELIHOOD,
  )
  num_gap_examples: int = option(
    100,
    'number of examples of --gaps',
    shared.LIKELIHOOD,
    at_least=1,
    unit='examples',
  )
  sandwich: bool = option(
    False,
    'bound log p(x) from below and, on simulated data, from above (BDMC)',
    shared.LIKELIHOOD,
  )
  num_sandwich_examples: int = option(
    64,
    'number of examples of --sandwich',
    shared.LIKELIHOOD,
    at_least=1,
    unit='examples',
  )
  num_chains: int = option(
    16,
    'annealing chains per example of --sandwich',
    shared.LIKELIHOOD,
    at_least=1,
    at_most=shared.MANY,
  )
  num_temperatures: int = option(
    1000,
    'temperatures of --sandwich, including both ends',
    shared.LIKELIHOOD,
    at_least=2,
    at_most=shared.MANY,
  )
  check: bool = option(
    False,
    'check first that p(x|z) is a normalised density of one example, and that '
    'the split shares no example with the training set',
    shared.LIKELIHOOD,
  )
  calibration: bool = option(
    False,
    'test q(z|x) against the posterior of simulated data, and the tail of the '
    'importance weights',
    shared.LIKELIHOOD,
  )
  num_simulations: int = option(
    1000,
    'simulated examples of --calibration, at least 100',
    shared.LIKELIHOOD,
    at_least=100,
    at_most=shared.MANY,
    unit='examples',
  )
  report: str = option(
    'full',
    'full draws figures, table leaves them out',
    shared.RUN,
    choices=('full', 'table'),
  )
  data_dir: str = shared.data_dir
  platform: str = shared.platform
  compile_cache: str = shared.compile_cache
  num_devices: int = shared.num_devices
  distributed: bool = shared.distributed
  coordinator: str = shared.coordinator
  num_processes: int = shared.num_processes
  process_id: int = shared.process_id

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
