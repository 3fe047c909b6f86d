"""The optimizer of a run: a row of the table under a learning-rate schedule."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from vae_jax.errors import lookup
from vae_jax.models.options import options_of
from vae_jax.models.quick_jit import quick_jit
from vae_jax.training.optimizers import (
  OPTIMIZERS,
  Optimizer,
  clip_first,
  make_adam,
  make_sgd,
)
from vae_jax.types import Array, Params

__all__ = (
  'OPTIMIZERS',
  'SCHEDULES',
  'Optimizer',
  'Schedule',
  'global_norm',
  'make_adam',
  'make_loss_schedules',
  'make_optimizer',
  'make_sgd',
  'update',
)

global_norm = optax.tree.norm

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


def update(
  optimizer: Optimizer, grads: Params, state: Any, params: Params
) -> tuple[Params, Any]:
  """Returns new parameters and the new state of the optimizer."""
  # The formulas of optax mix integer counts and Python's numbers.
  with jax.numpy_dtype_promotion('standard'):
    updates, state = optimizer.update(grads, state, params)
    zero = _zero_after(grads)
    updates = jax.tree.map(lambda u: u + zero.astype(u.dtype), updates)
    return optax.apply_updates(params, updates), state


def _zero_after(grads: Params) -> Array:
  """Returns 0, computed from every gradient.

  An update that depends on it follows the last use of the old parameters, so
  that XLA writes the new ones in their place. Otherwise a loop copies every
  weight at each step, which takes a tenth of a small step on a CPU.
  """
  some = [x[(0,) * x.ndim] for x in jax.tree.leaves(grads) if x.size]
  total = sum((x.astype(jnp.float32) for x in some), jnp.zeros(()))
  # Not folded by the compiler, as 0 * nan is nan; which no optimizer that
  # replaces such gradients may find in its updates.
  return jnp.nan_to_num(0 * total, nan=0.0)


def make_optimizer(
  config: Any = None,
  *,
  optimizer: str = 'adam',
  learning_rate: float = 1e-3,
  schedule: str = 'constant',
  learning_rate_warmup_epochs: int = 0,
  learning_rate_warmup_steps: int = 0,
  weight_decay: float = 1e-4,
  clip_norm: float = 0.0,
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
    learning_rate_warmup_epochs: epochs over which the rate increases linearly
      from 0 to that of the schedule; 0 for none.
    learning_rate_warmup_steps: length of the warm-up in steps instead.
    weight_decay: decoupled decay of weights, read by 'adamw'.
    clip_norm: largest norm of the gradient, as `clip_first`; 0 for none.
    num_epochs: epochs of the whole run; read by 'cosine'.
    steps_per_epoch: gradient steps per epoch; read by 'cosine', 'iwae' and
      the warm-up.

  Raises:
    ValueError: an unknown optimizer or schedule, or two lengths of warm-up.

  References:
    Kingma and Ba 2015, Adam, algorithm 1 ('adam') and 2 ('adamax');
    Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization,
    algorithm 2 ('adamw');
    Goyal et al. 2017, Accurate, Large Minibatch SGD, section 2.2 (warm-up).
  """
  if config is not None:
    options = options_of(make_optimizer, config)
    return make_optimizer(**options, steps_per_epoch=steps_per_epoch)
  row = lookup('optimizer', OPTIMIZERS, optimizer)
  rate = lookup('schedule', SCHEDULES, schedule).make(
    learning_rate, num_epochs, steps_per_epoch
  )
  if learning_rate_warmup_epochs and learning_rate_warmup_steps:
    raise ValueError(
      'learning_rate_warmup_steps: got it beside learning_rate_warmup_epochs, '
      'expected one of both'
    )
  warmup = learning_rate_warmup_epochs * steps_per_epoch
  if warmup := warmup or learning_rate_warmup_steps:
    rate = _warm_up(rate, warmup)
  given = {'weight_decay': weight_decay}
  made = row.make(rate, **{name: given[name] for name in row.options})
  made = clip_first(made, clip_norm) if clip_norm else made
  # One program, and not one for each array of the state.
  return made._replace(init=quick_jit(made.init))


def _warm_up(rate: optax.Schedule, num_steps: int) -> optax.Schedule:
  """Multiplies a rate by (t + 1) / num_steps in the first steps t."""

  def warmed(step: Array) -> Array:
    return rate(step) * jnp.minimum(1.0, (step + 1) / num_steps)

  return warmed


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
