"""Optimizers and schedules: the one place that imports optax."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import optax

from vae_jax.errors import lookup
from vae_jax.models.options import options_of
from vae_jax.models.quick_jit import quick_jit
from vae_jax.types import Params

Optimizer: TypeAlias = optax.GradientTransformation
global_norm = optax.tree.norm
make_adam = optax.adam
make_sgd = optax.sgd

# Burda, Grosse and Salakhutdinov 2015, section 5: stage i of 8 lasts 3^i
# epochs at 10^(-i/7) times the first rate, 3280 epochs in all.
_IWAE_STAGES = 8


class Schedule(NamedTuple):
  """A row of `SCHEDULES`: a learning rate per step.

  Attributes:
    words: the schedule in a sentence.
    make: `make(learning_rate, num_epochs, steps_per_epoch) -> step -> rate`.
    spans_run: whether it depends on the number of epochs of the whole run.
  """

  words: str
  make: Callable[[float, int, int], optax.Schedule]
  spans_run: bool = False


def _constant(rate: float, num_epochs: int, steps: int) -> optax.Schedule:
  del num_epochs, steps
  return optax.schedules.constant_schedule(rate)


def _cosine(rate: float, num_epochs: int, steps: int) -> optax.Schedule:
  """Lr (1 + cos(pi t / T)) / 2, T the steps of the whole run."""
  return optax.schedules.cosine_decay_schedule(rate, num_epochs * steps)


def _iwae(rate: float, num_epochs: int, steps: int) -> optax.Schedule:
  """Lr 10^(-i/7) for 3^i epochs, i = 0..7, then the last rate."""
  del num_epochs
  ends = [sum(3**j for j in range(i + 1)) for i in range(_IWAE_STAGES - 1)]
  return optax.schedules.piecewise_constant_schedule(
    rate, {epoch * steps: 10 ** (-1 / 7) for epoch in ends}
  )


SCHEDULES = {
  'constant': Schedule('constant', _constant),
  'cosine': Schedule('cosine to 0', _cosine, spans_run=True),
  'iwae': Schedule('iwae (3^i epochs at 10^(-i/7))', _iwae),
}

# Name -> optimizer of a schedule or rate.
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
  'adam': optax.adam,
  'adamw': optax.adamw,
  'adamax': optax.adamax,
  'sgd': optax.sgd,
}


def update(
  optimizer: Optimizer, grads: Params, state: Any, params: Params
) -> tuple[Params, Any]:
  """Returns new parameters and the new state of the optimizer."""
  # The formulas of optax mix integer counts and Python's numbers.
  with jax.numpy_dtype_promotion('standard'):
    updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state


def make_optimizer(
  config: Any = None,
  *,
  optimizer: str = 'adam',
  learning_rate: float = 1e-3,
  schedule: str = 'constant',
  num_epochs: int = 1,
  steps_per_epoch: int = 1,
) -> Optimizer:
  """Builds an optimizer under a learning-rate schedule.

  Args:
    config: the part `optimizer` of a config, whose fields are the keyword
      arguments below but `steps_per_epoch`; None to give them here.
    optimizer: a key of `OPTIMIZERS`.
    learning_rate: rate of the first step, above 0.
    schedule: a key of `SCHEDULES`.
    num_epochs: epochs of the whole run; read by 'cosine'.
    steps_per_epoch: gradient steps per epoch; read by 'cosine' and 'iwae'.

  Raises:
    ValueError: an unknown optimizer or schedule.

  References:
    Kingma and Ba 2015, Adam, algorithm 1 ('adam') and 2 ('adamax').
  """
  if config is not None:
    options = options_of(make_optimizer, config)
    return make_optimizer(**options, steps_per_epoch=steps_per_epoch)
  make = lookup('optimizer', OPTIMIZERS, optimizer)
  row = lookup('schedule', SCHEDULES, schedule)
  made = make(row.make(learning_rate, num_epochs, steps_per_epoch))
  # One program, and not one for each array of the state.
  return made._replace(init=quick_jit(made.init))


def make_loss_schedules(
  config: Any = None,
  *,
  beta: float = 1.0,
  kl_warmup_epochs: int = 0,
  steps_per_epoch: int = 1,
) -> dict[str, optax.Schedule]:
  """Returns step -> value of each weight of the loss that changes.

  KL warm-up: beta increases linearly from 0 to its value.

  Args:
    config: the part `objective` of a config, in place of `beta` and
      `kl_warmup_epochs`.
    beta: final weight of the KL.
    kl_warmup_epochs: epochs of the warm-up; 0 for none.
    steps_per_epoch: gradient steps per epoch.

  References:
    Sonderby et al. 2016, Ladder Variational Autoencoders, section 2.3.
  """
  if config is not None:
    options = options_of(make_loss_schedules, config)
    return make_loss_schedules(**options, steps_per_epoch=steps_per_epoch)
  if not kl_warmup_epochs:
    return {}
  steps = kl_warmup_epochs * steps_per_epoch
  return {'beta': optax.schedules.linear_schedule(0.0, beta, steps)}
