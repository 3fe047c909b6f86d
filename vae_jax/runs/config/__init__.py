"""Every option of every command of the library, declared once.

A config is frozen and valid: an impossible value raises `UserError` when it is
made, from Python as from the command line.
"""

from vae_jax.runs.config.compare import CompareConfig, SweepConfig
from vae_jax.runs.config.evaluate import EvaluateConfig, PrepareConfig
from vae_jax.runs.config.parts import (
  DataOptions,
  ModelOptions,
  ObjectiveOptions,
  OptimizerOptions,
  RunOptions,
)
from vae_jax.runs.config.train import Config
from vae_jax.runs.config.use import (
  CompressConfig,
  EncodeConfig,
  ExportConfig,
  ReconstructConfig,
  SampleConfig,
)

__all__ = (
  'CompareConfig',
  'CompressConfig',
  'Config',
  'DataOptions',
  'EncodeConfig',
  'EvaluateConfig',
  'ExportConfig',
  'ModelOptions',
  'ObjectiveOptions',
  'OptimizerOptions',
  'PrepareConfig',
  'ReconstructConfig',
  'RunOptions',
  'SampleConfig',
  'SweepConfig',
)
