"""Options of the optimization."""

import dataclasses

from vae_jax.runs.config import shared
from vae_jax.runs.config.options import option
from vae_jax.runs.config.parts.part import Part
from vae_jax.training import OPTIMIZERS, SCHEDULES


@dataclasses.dataclass(frozen=True)
class OptimizerOptions(Part):
  """The optimization; keyword arguments of `make_optimizer`, and its length."""

  num_epochs: int = option(
    100,
    'passes over the training set',
    shared.TRAINING,
    at_least=1,
    at_most=shared.MANY,
    unit='epochs',
  )
  batch_size: int = option(
    50, 'images per gradient step', shared.TRAINING, at_least=1, unit='images'
  )
  optimizer: str = option(
    'adam',
    'gradient-based optimizer; adamw is adam with --weight_decay',
    shared.TRAINING,
    choices=OPTIMIZERS,
  )
  learning_rate: float = option(
    1e-3, 'learning rate of the first step', shared.TRAINING, above=0.0
  )
  schedule: str = option(
    'constant',
    'learning rate: constant, cosine to 0, or iwae (3^i epochs at 10^(-i/7))',
    shared.TRAINING,
    choices=SCHEDULES,
  )
  learning_rate_warmup_epochs: int = option(
    0,
    'epochs over which the learning rate increases from 0 to that of the '
    'schedule',
    shared.TRAINING,
    at_least=0,
    at_most=shared.MANY,
    unit='epochs',
  )
  learning_rate_warmup_steps: int = option(
    0,
    'length of that warm-up in gradient steps instead of epochs',
    shared.TRAINING,
    at_least=0,
    at_most=shared.MOST,
    unit='steps',
  )
  weight_decay: float = option(
    1e-4,
    'decoupled decay of adamw: weights lose this share times the learning '
    'rate per step; biases and scalars are not decayed',
    shared.TRAINING,
    at_least=0.0,
  )
  clip_norm: float = option(
    0.0,
    'largest norm of the gradient over all parameters together, to which '
    'longer gradients are scaled; 0: none',
    shared.TRAINING,
    at_least=0.0,
  )
  ema: float = option(
    0.0,
    'decay per step of a moving average of the parameters, such as 0.999, '
    'that is validated, saved and reported; 0: none',
    shared.TRAINING,
    at_least=0.0,
    below=1.0,
  )
  patience: int = option(
    0,
    'epochs without a higher validation ELBO after which training stops; the '
    'best checkpoint is reported; 0: train all epochs',
    shared.TRAINING,
    at_least=0,
    at_most=shared.MANY,
    unit='epochs',
  )
  on_nonfinite: str = option(
    'stop',
    'at a step whose loss or gradient is not finite: stop the run, or skip '
    'and count the step',
    shared.TRAINING,
    choices=('stop', 'skip'),
  )
