"""Learning-rate schedules and the optimiser; the one place that meets optax."""

from typing import TypeAlias

import optax

from vae_jax.config import Config

Optimizer: TypeAlias = optax.GradientTransformation
apply_updates = optax.apply_updates
global_norm = optax.tree.norm
make_adam = optax.adam
make_sgd = optax.sgd

# Burda, Grosse and Salakhutdinov 2015, section 5: stage i of 8 lasts 3^i
# epochs at 10^(-i/7) times the first rate, 3280 epochs in all.
_IWAE_STAGES = 8


def make_schedule(config: Config, steps_per_epoch: int) -> optax.Schedule:
  """Returns step -> learning rate.

  constant: lr; cosine: lr (1 + cos(pi t / T)) / 2 over the whole run;
  iwae: lr 10^(-i/7) for 3^i epochs, i = 0..7, then the last rate.
  """
  if config.schedule == 'cosine':
    return optax.schedules.cosine_decay_schedule(
      config.learning_rate, config.num_epochs * steps_per_epoch
    )
  if config.schedule == 'iwae':
    ends = [sum(3**j for j in range(i + 1)) for i in range(_IWAE_STAGES - 1)]
    return optax.schedules.piecewise_constant_schedule(
      config.learning_rate,
      {epoch * steps_per_epoch: 10 ** (-1 / 7) for epoch in ends},
    )
  return optax.schedules.constant_schedule(config.learning_rate)


def make_optimizer(config: Config, steps_per_epoch: int) -> Optimizer:
  """Returns Adam under the schedule that the flags describe.

  References:
    Kingma and Ba 2015, Adam, algorithm 1.
  """
  return make_adam(make_schedule(config, steps_per_epoch))


def make_loss_schedules(
  config: Config, steps_per_epoch: int
) -> dict[str, optax.Schedule]:
  """Returns step -> value of each weight of the loss that changes.

  beta grows in equal steps from 0 to its value over --kl_warmup_epochs.

  References:
    Sonderby et al. 2016, Ladder Variational Autoencoders, section 2.3.
  """
  if not config.kl_warmup_epochs:
    return {}
  steps = config.kl_warmup_epochs * steps_per_epoch
  return {'beta': optax.schedules.linear_schedule(0.0, config.beta, steps)}
