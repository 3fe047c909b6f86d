"""State and batches of an epoch: pure functions of keys and counts."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.training.loss import batch_size_of
from vae_jax.training.train_step import GRAD_NORM, Metrics, TrainState
from vae_jax.types import Array, Key

# (order_key, epoch) -> rows of the batches of the epoch, `[S, B]`
Indices: TypeAlias = Callable[[Key, Any], Array]


class RunState(NamedTuple):
  """Complete training state; restoring it resumes bit-exactly.

  Attributes:
    train: state carried from one step to the next.
    epoch: number of completed epochs whose metrics are logged, `[]` int32.
    sums: sum of each metric over the steps of the current epoch, `[]`; kept on
      the device, so that cutting an epoch into calls changes no bit.
    skipped: number of skipped steps in the current epoch, `[]` int32.
    best_elbo: highest validation ELBO, `[]`, in nats.
    best_step: step of the highest validation ELBO, `[]` int32.
  """

  train: TrainState
  epoch: Array
  sums: Metrics
  skipped: Array
  best_elbo: Array
  best_step: Array


class Batches(NamedTuple):
  """Stored examples, and the batches that consecutive steps make of them.

  Attributes:
    data: stored examples on the device, a pytree with leading axis `[M]`, or
      with leading axes `[S, B]` where `rows` is None.
    rows: rows of `data` in the batch of each step, `[S, B]` int32; None where
      `data` are the batches themselves, which devices may share by axis B.
    first: step that takes the first batch, `[]` int32.
  """

  data: Any
  rows: Any
  first: Array

  def take(self, step: Array) -> Any:
    """Returns the stored examples of a step, `[B, ...]`."""
    rows = step - self.first
    if self.rows is not None:
      rows = self.rows[rows]
    return jax.tree.map(lambda leaf: leaf[rows], self.data)

  @property
  def shape(self) -> tuple[int, ...]:
    """Number of steps S and batch size B."""
    if self.rows is not None:
      return self.rows.shape
    return jax.tree.leaves(self.data)[0].shape[:2]

  @property
  def numbers_per_example(self) -> int:
    """Size of a stored example."""
    axes = 1 if self.rows is not None else 2
    shapes = [x.shape[axes:] for x in jax.tree.leaves(self.data)]
    return sum(math.prod(shape) for shape in shapes)


def init_run_state(train: TrainState, metrics: Any) -> RunState:
  """Returns the state before the first step.

  Args:
    train: state before the first step.
    metrics: names of the metrics of a step; the norm of the gradient is not
      summed, since computing it takes up to a third of a step.
  """
  zero = lambda: jnp.zeros((), jnp.int32)
  return RunState(
    train=train,
    epoch=zero(),
    sums={name: jnp.zeros(()) for name in metrics if name != GRAD_NORM},
    skipped=zero(),
    # Below every ELBO; `jax_debug_infs` would stop at an infinity.
    best_elbo=jnp.full((), jnp.finfo(jnp.float32).min),
    best_step=zero(),
  )


def is_consistent(state: RunState, steps_per_epoch: int) -> bool:
  """Returns whether the counts of a restored state are those of one run.

  Training from other counts, which a file may hold, would not end.
  """
  step, epoch = int(state.train.step), int(state.epoch)
  skipped = np.asarray(state.skipped)  # By seed in a run of many.
  done = step - epoch * steps_per_epoch
  return (
    epoch >= 0
    and 0 <= skipped.min() <= skipped.max() <= done <= steps_per_epoch
    and 0 <= int(state.best_step) <= step
    and not jnp.isnan(state.best_elbo)
  )


def finish_epoch(state: RunState, validation_elbo: float) -> RunState:
  """Returns the state at the start of the next epoch."""
  is_best = validation_elbo > state.best_elbo
  return state._replace(
    epoch=state.epoch + 1,
    sums=jax.tree.map(jnp.zeros_like, state.sums),
    skipped=jnp.zeros_like(state.skipped),
    best_elbo=jnp.where(is_best, validation_elbo, state.best_elbo),
    best_step=jnp.where(is_best, state.train.step, state.best_step),
  )


def epoch_metrics(state: RunState, num_steps: int) -> dict[str, float]:
  """Returns the mean of each metric over the steps that were not skipped."""
  skipped = int(state.skipped)
  counted = num_steps - skipped
  mean = lambda x: float(x) / counted if counted else float('nan')
  means = {name: mean(x) for name, x in state.sums.items()}
  return means | ({'skipped_steps': skipped} if skipped else {})


def batch_indices(
  order_key: Key, epoch: Array, num_examples: int, batch_size: int
) -> Array:
  """Returns the epoch's batches, `[steps_per_epoch, batch_size]`.

  A pure function of the key and the epoch, so that resuming needs no iterator
  state. The remainder of the permutation is not used in this epoch.
  """
  steps = num_examples // batch_size
  key = jax.random.fold_in(order_key, epoch)
  order = jax.random.permutation(key, num_examples)
  return order[: steps * batch_size].reshape(steps, batch_size)


def make_resident(
  order_key: Key, data: Any, batch_size: int, indices: Indices | None = None
) -> Callable[[RunState], Batches]:
  """Returns `batches(state)`: the whole epoch of a set that fits in memory.

  Args:
    order_key: parent of one key per epoch, by `fold_in` only.
    data: the whole training set on the device, a pytree, `[N, ...]`.
    batch_size: examples per step.
    indices: `indices(order_key, epoch)`, the rows of each batch of an epoch,
      `[S, B]`; None for those of `batch_indices`.
  """
  count = batch_size_of(data)
  order = jax.jit(batch_indices, static_argnums=(2, 3))
  own = jax.jit(indices) if indices else None

  @functools.lru_cache(maxsize=1)
  def rows(epoch: int) -> Array:
    if own:
      return own(order_key, epoch)
    return order(order_key, epoch, count, batch_size)

  def batches(state: RunState) -> Batches:
    first = state.epoch * (count // batch_size)
    return Batches(data, rows(int(state.epoch)), first)

  return batches
