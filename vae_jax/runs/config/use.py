"""The options of the commands that use a trained run, without training."""

import dataclasses

from vae_jax.runs.config import shared
from vae_jax.runs.config.options import option, validate

EXAMPLES = 'Examples'


@dataclasses.dataclass(frozen=True)
class UseConfig:
  """A trained run and one of its checkpoints."""

  workdir: str = shared.trained_workdir
  output: str = option(
    '',
    'folder of the files that are written; empty: one within --workdir',
    shared.RUN,
  )
  checkpoint: str = shared.checkpoint
  parameters: str = shared.parameters
  of_seed: int = option(
    -1,
    'seed of a run of many (--num_seeds); -1: that of a run of one',
    shared.RUN,
    at_least=-1,
  )
  data_dir: str = shared.data_dir
  platform: str = shared.platform

  def __post_init__(self) -> None:
    validate(self)


@dataclasses.dataclass(frozen=True)
class SampleConfig(UseConfig):
  """Samples of a trained run. Raises `UserError` like `Config`."""

  num_samples: int = option(
    64,
    'number of samples',
    EXAMPLES,
    at_least=1,
    at_most=shared.MANY,
    unit='samples',
  )
  class_: str = option(
    '',
    'class of every sample, by number or name, in a run with '
    '--condition=labels or y; empty: each class in turn',
    EXAMPLES,
  )
  size: float = option(
    0.0,
    'size factor of every sample, in a run with --size_factor; 0: the mean '
    'over the test examples',
    EXAMPLES,
    at_least=0.0,
  )
  seed: int = option(
    0, 'seed of the samples', EXAMPLES, at_least=0, at_most=2**32 - 1
  )


@dataclasses.dataclass(frozen=True)
class ExamplesConfig(UseConfig):
  """A trained run and examples. Raises `UserError` like `Config`."""

  dataset: str = option(
    '',
    'a file.npz, all of whose examples are taken, or another data set; empty: '
    'that of the run',
    EXAMPLES,
  )
  split: str = option(
    'test',
    'split of the data set; an npz file is taken as a whole',
    EXAMPLES,
    choices=('train', 'validation', 'test'),
  )
  num_examples: int = option(
    0,
    'number of examples from the start; 0: all',
    EXAMPLES,
    at_least=0,
    unit='examples',
  )


@dataclasses.dataclass(frozen=True)
class EncodeConfig(ExamplesConfig):
  """Codes of examples. Raises `UserError` like `Config`."""

  num_samples: int = option(
    1,
    'draws of z per example',
    EXAMPLES,
    at_least=1,
    at_most=shared.MANY,
    unit='draws',
  )
  seed: int = option(
    0, 'seed of the draws', EXAMPLES, at_least=0, at_most=2**32 - 1
  )


@dataclasses.dataclass(frozen=True)
class ReconstructConfig(ExamplesConfig):
  """Reconstructions of examples. Raises `UserError` like `Config`."""

  num_examples: int = option(
    0,
    'number of examples from the start; 0: all of a file, 64 of a split',
    EXAMPLES,
    at_least=0,
    unit='examples',
  )
  seed: int = option(
    0, 'seed of the draws of z', EXAMPLES, at_least=0, at_most=2**32 - 1
  )


@dataclasses.dataclass(frozen=True)
class CompressConfig(ExamplesConfig):
  """Lossless compression of examples. Raises `UserError` like `Config`."""

  latent_bits: int = option(
    12,
    'log2 of the number of buckets per latent dimension',
    EXAMPLES,
    at_least=4,
    at_most=16,
    unit='bits',
  )
  decompress: str = option(
    '',
    'a file of this command to decompress, by the run that compressed it; '
    'empty: compress',
    EXAMPLES,
  )


@dataclasses.dataclass(frozen=True)
class ExportConfig(UseConfig):
  """A trained run as files without vae_jax. Raises `UserError`."""
