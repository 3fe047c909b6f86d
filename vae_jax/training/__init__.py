"""From a model and data to new parameters; no file, no clock."""

from vae_jax.training.fit import fit
from vae_jax.training.loss import LossFn, make_loss
from vae_jax.training.optimal_sigma import make_refit
from vae_jax.training.optimizer import (
  OPTIMIZERS,
  SCHEDULES,
  make_loss_schedules,
  make_optimizer,
)
from vae_jax.training.train_step import (
  TrainState,
  init_train_state,
  make_train_step,
)

__all__ = (
  'OPTIMIZERS',
  'SCHEDULES',
  'LossFn',
  'TrainState',
  'fit',
  'init_train_state',
  'make_loss',
  'make_loss_schedules',
  'make_optimizer',
  'make_refit',
  'make_train_step',
)
