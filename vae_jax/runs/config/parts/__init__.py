"""The options of a training run, one part per concern.

The fields of a part are the keyword arguments of the function that it
configures: `make_vae`, `make_loss`, `make_optimizer`.
"""

from vae_jax.runs.config.parts.data import DataOptions
from vae_jax.runs.config.parts.model import ModelOptions
from vae_jax.runs.config.parts.objective import ObjectiveOptions
from vae_jax.runs.config.parts.optimizer import OptimizerOptions
from vae_jax.runs.config.parts.run import RunOptions

__all__ = (
  'DataOptions',
  'ModelOptions',
  'ObjectiveOptions',
  'OptimizerOptions',
  'RunOptions',
)
