"""Epochs on the device: many steps compiled into one call."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.training.loss import batch_size_of
from vae_jax.training.train_step import Metrics, TrainState
from vae_jax.types import Array, Key

Step = Callable[[Key, TrainState, Any], tuple[TrainState, Metrics]]


class RunKeys(NamedTuple):
  """One key per purpose; both are parents of `fold_in` only."""

  order: Key
  train: Key


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


class NonFinite(NamedTuple):
  """Last step with a non-finite metric, -1 for none, and its metrics."""

  step: Array
  metrics: Metrics

  @property
  def terms(self) -> list[str]:
    """Returns the non-finite metrics and their values in words."""
    return [
      f'{name} is {float(value)}'
      for name, value in self.metrics.items()
      if not jnp.isfinite(value)
    ]


def init_run_state(train: TrainState, metrics: Any) -> RunState:
  """Returns the state before the first step.

  Args:
    train: state before the first step.
    metrics: names of the metrics of a step.
  """
  zero = lambda: jnp.zeros((), jnp.int32)
  return RunState(
    train=train,
    epoch=zero(),
    sums={name: jnp.zeros(()) for name in metrics},
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
  done = step - epoch * steps_per_epoch
  return (
    epoch >= 0
    and 0 <= int(state.skipped) <= done <= steps_per_epoch
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


def make_steps(
  step: Step,
  preprocess: Callable[[Key, Any], Any],
  batch_size: int,
  *,
  skip_nonfinite: bool = False,
) -> Callable[[RunKeys, RunState, Any, int], tuple[RunState, NonFinite]]:
  """Compiles many steps of one epoch into one call with donated state.

  Args:
    step: a step from `make_train_step`.
    preprocess: `preprocess(key, examples)` turns stored examples into a batch
      on the device, with new randomness at each visit.
    batch_size: examples per step.
    skip_nonfinite: a step whose loss, gradient or terms are not all finite
      is skipped and counted; otherwise it ends its call and the state must be
      discarded.

  Returns:
    `steps(keys, state, data, num_steps) -> (state, nonfinite)`. `data` is the
    whole training set on the device, a pytree with leading axis `[N]`;
    `num_steps`, at least 1, ends within the epoch and does not recompile.
    Every division of an epoch into calls gives the same bits.
  """

  def steps(
    keys: RunKeys, state: RunState, data: Any, num_steps: int
  ) -> tuple[RunState, NonFinite]:
    num_examples = batch_size_of(data)
    steps_per_epoch = num_examples // batch_size
    indices = batch_indices(keys.order, state.epoch, num_examples, batch_size)

    def one(state: TrainState) -> tuple[TrainState, Metrics]:
      step_key = jax.random.fold_in(keys.train, state.step)
      preprocess_key, loss_key = jax.random.split(step_key)
      index = indices[state.step % steps_per_epoch]
      batch = jax.tree.map(lambda leaf: leaf[index], data)
      return step(loss_key, state, preprocess(preprocess_key, batch))

    def continues(carry: Any) -> Array:
      done, _, bad = carry
      return (done < num_steps) & (skip_nonfinite | (bad.step < 0))

    def body(carry: Any) -> Any:
      done, state, bad = carry
      train, metrics = one(state.train)
      finite = _all_finite(list(metrics.values()))
      now = NonFinite(state.train.step, metrics)
      bad = jax.tree.map(lambda a, b: jnp.where(finite, a, b), bad, now)
      if skip_nonfinite:
        same = state.train._replace(step=train.step)
        train = jax.tree.map(lambda a, b: jnp.where(finite, a, b), train, same)
      add = lambda total, x: total + jnp.where(finite, x, 0)
      state = state._replace(
        train=train,
        sums=jax.tree.map(add, state.sums, metrics),
        skipped=state.skipped + (~finite).astype(jnp.int32),
      )
      return done + 1, state, bad

    none = NonFinite(jnp.full((), -1, jnp.int32), state.sums)
    carry = (jnp.zeros((), jnp.int32), state, none)
    _, state, bad = jax.lax.while_loop(continues, body, carry)
    return state, bad

  return jax.jit(steps, donate_argnames='state')


def _all_finite(values: Sequence[Array]) -> Array:
  return jnp.all(jnp.isfinite(jnp.stack(values)))
