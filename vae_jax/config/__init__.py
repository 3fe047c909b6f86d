"""Every option of every command, once: default, bounds, unit and help.

A config is frozen and valid: an impossible value raises `UserError` when
the object is made, from Python as from the command line.
"""

from vae_jax.config.evaluate import EvaluateConfig, PrepareConfig
from vae_jax.config.lab import (
  BenchmarkConfig,
  DemonstrationsConfig,
  FaultInjectionConfig,
  GradientVarianceConfig,
)
from vae_jax.config.train import Config

__all__ = (
  'BenchmarkConfig',
  'Config',
  'DemonstrationsConfig',
  'EvaluateConfig',
  'FaultInjectionConfig',
  'GradientVarianceConfig',
  'PrepareConfig',
)
