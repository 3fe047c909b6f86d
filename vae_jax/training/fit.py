"""Training in a notebook: no folder, no flags."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.errors import UserError
from vae_jax.models import LatentModel, as_float
from vae_jax.training.epoch import (
  epoch_metrics,
  finish_epoch,
  init_run_state,
  make_resident,
)
from vae_jax.training.loss import batch_size_of, make_loss
from vae_jax.training.optimizer import (
  Optimizer,
  make_loss_schedules,
  make_optimizer,
)
from vae_jax.training.steps import (
  Step,
  make_find_nonfinite,
  make_gradient_norm,
  make_metrics,
  make_steps,
)
from vae_jax.training.train_step import (
  GRAD_NORM,
  TrainState,
  init_train_state,
  make_train_step,
)
from vae_jax.types import Key, Params

History = dict[str, np.ndarray]


def fit(
  key: Key,
  model: LatentModel,
  data: Any,
  *,
  num_epochs: int,
  batch_size: int,
  learning_rate: float = 1e-3,
  schedule: str = 'constant',
  optimizer: str | Optimizer = 'adam',
  preprocess: Callable[[Key, Any], Any] | None = None,
  params: Params | None = None,
  kl_warmup_epochs: int = 0,
  on_epoch: Callable[[dict[str, float]], None] | None = None,
  **objective: Any,
) -> tuple[Params, History]:
  """Trains a latent-variable model on data in memory.

  Args:
    key: consumed.
    model: any `LatentModel`.
    data: pytree of examples, each array `[N, ...]`; moved to the device.
    num_epochs: passes over the data, at least 1.
    batch_size: examples per gradient step, at most N; the remainder of an
      epoch's permutation is not used in that epoch.
    learning_rate: rate of the first step.
    schedule: learning-rate schedule, a key of `SCHEDULES`.
    optimizer: a key of `OPTIMIZERS`, or an optax transformation, which
      replaces `learning_rate` and `schedule`.
    preprocess: `preprocess(key, batch) -> batch` at each visit, such as
      `binarise`; None casts integers of x to float32, and leaves labels.
    params: initial parameters; None for `model.init`.
    kl_warmup_epochs: epochs over which beta increases from 0.
    on_epoch: is called after each epoch with a dict of its numbers: 'epoch',
      from 1, 'step' and those of the history. It changes nothing, and its
      exceptions end the training.
    **objective: keyword arguments of `make_loss`.

  Returns:
    (params, history): the trained parameters, and metric -> its mean over the
    steps of each epoch, `[num_epochs]`; `grad_norm` is that of the first
    `batch_size` examples at the end of each epoch.

  Raises:
    ValueError: sizes that do not fit, or as `make_loss`.
    UserError: a step is not finite; the message names it.
  """
  steps_per_epoch = _steps_per_epoch(data, batch_size, num_epochs)
  init_key, *keys = jax.random.split(key, 4)
  if isinstance(optimizer, str):
    optimizer = make_optimizer(
      optimizer=optimizer,
      learning_rate=learning_rate,
      schedule=schedule,
      num_epochs=num_epochs,
      steps_per_epoch=steps_per_epoch,
    )
  step = make_train_step(
    make_loss(model, **objective),
    optimizer,
    schedules=make_loss_schedules(
      beta=objective.get('beta', 1.0),
      kl_warmup_epochs=kl_warmup_epochs,
      steps_per_epoch=steps_per_epoch,
    ),
  )
  params = model.init(init_key) if params is None else params
  params = jax.tree.map(jnp.asarray, params)
  state, history = _run_epochs(
    keys,
    step,
    init_train_state(params, optimizer),
    jax.tree.map(jnp.asarray, data),
    preprocess or (lambda key, batch: as_float(batch)),
    num_epochs=num_epochs,
    batch_size=batch_size,
    on_epoch=on_epoch,
  )
  return state.params, history


def _steps_per_epoch(data: Any, batch_size: int, num_epochs: int) -> int:
  """Returns the number of steps; raises `ValueError` for impossible sizes."""
  count = batch_size_of(data)
  if not 1 <= batch_size <= count:
    raise ValueError(f'batch_size is {batch_size}: must be from 1 to {count}')
  if num_epochs < 1:
    raise ValueError(f'num_epochs is {num_epochs}: must be at least 1')
  return count // batch_size


def _run_epochs(
  keys: Sequence[Key],
  step: Step,
  train: TrainState,
  data: Any,
  preprocess: Callable[[Key, Any], Any],
  *,
  num_epochs: int,
  batch_size: int,
  on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> tuple[TrainState, History]:
  """Runs every step of every epoch; keys of order, steps and gradient norm."""
  order_key, train_key, norm_key = keys
  count = batch_size_of(data) // batch_size
  some = jax.tree.map(lambda leaf: leaf[:batch_size], data)
  names = jax.eval_shape(make_metrics(step, preprocess), norm_key, train, some)
  batches = make_resident(order_key, data, batch_size)
  steps = make_steps(step, preprocess)
  norm = make_gradient_norm(step, preprocess)
  state, epochs = init_run_state(train, names), []
  for _ in range(num_epochs):
    before = state
    state, finite = steps(train_key, before, batches(before), count)
    if not finite:
      find = make_find_nonfinite(step, preprocess)
      bad = find(train_key, before, batches(before), count)
      raise UserError(
        f'{bad}: expected finite numbers. Use a smaller learning_rate'
      )
    measured = {GRAD_NORM: float(norm(norm_key, state.train, some))}
    epochs.append(epoch_metrics(state, count) | measured)
    state = finish_epoch(state, -np.inf)
    if on_epoch is not None:
      numbers = {'epoch': len(epochs), 'step': int(state.train.step)}
      on_epoch(numbers | {k: float(x) for k, x in epochs[-1].items()})
  history = {name: np.array([m[name] for m in epochs]) for name in epochs[0]}
  return state.train, history
