"""An epoch on the device: its steps compiled into calls, cut anywhere."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.train_step import Metrics, TrainState
from vae_jax.types import Array, Key

Step = Callable[[Key, TrainState, Any], tuple[TrainState, Metrics]]


class RunKeys(NamedTuple):
  """One key a purpose; both are parents of `fold_in` and of nothing else."""

  order: Key
  train: Key


class RunState(NamedTuple):
  """All that a run carries on: saved and restored, it goes on to the bit.

  Attributes:
    train: what a step carries to the next.
    epoch: epochs that are done and told of, `[]` int32.
    sums: of each metric over the steps of the epoch under way, `[]`; kept on
      the device, so that where its calls are cut changes no bit.
    skipped: steps of the epoch under way that changed nothing, `[]` int32.
    best_elbo: the highest on validation, `[]`, in nats.
    best_step: where that was, `[]` int32.
  """

  train: TrainState
  epoch: Array
  sums: Metrics
  skipped: Array
  best_elbo: Array
  best_step: Array


class Bad(NamedTuple):
  """The last step that was not finite, -1 for none, and its metrics."""

  step: Array
  metrics: Metrics

  @property
  def terms(self) -> list[str]:
    """Names the metrics that are not finite, with their values."""
    return [
      f'{name} is {float(value)}'
      for name, value in self.metrics.items()
      if not jnp.isfinite(value)
    ]


def init_run_state(train: TrainState, metrics: Any) -> RunState:
  """Returns the state before the first step.

  Args:
    train: of the same step.
    metrics: the names of what a step reports.
  """
  zero = lambda: jnp.zeros((), jnp.int32)
  return RunState(
    train=train,
    epoch=zero(),
    sums={name: jnp.zeros(()) for name in metrics},
    skipped=zero(),
    best_elbo=jnp.full((), -jnp.inf),
    best_step=zero(),
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

  A pure function of the key and the epoch, so that a resumed run needs no
  iterator's state. The remainder of the permutation waits for another epoch.
  """
  steps = num_examples // batch_size
  key = jax.random.fold_in(order_key, epoch)
  order = jax.random.permutation(key, num_examples)
  return order[: steps * batch_size].reshape(steps, batch_size)


def make_steps(
  step: Step,
  prepare: Callable[[Key, Array], Array],
  batch_size: int,
  *,
  skip_nonfinite: bool = False,
) -> Callable[[RunKeys, RunState, Array, int], tuple[RunState, Bad]]:
  """Compiles many steps of one epoch into one call, the state donated.

  Args:
    step: as `make_train_step` makes it.
    prepare: `prepare(key, images)` turns raw uint8 images into a batch, on
      the device and anew at each visit.
    batch_size: examples a step.
    skip_nonfinite: a step whose loss, gradient or terms are not all finite
      changes nothing and is counted; otherwise it is the last of its call,
      and the state is of no use.

  Returns:
    `steps(keys, state, images, num_steps) -> (state, bad)`. `images` is the
    whole set, resident on the device; `num_steps`, at least 1, may not reach
    past the end of the epoch and does not recompile. Any cutting of an epoch
    into calls gives the same bits.
  """

  def steps(
    keys: RunKeys, state: RunState, images: Array, num_steps: int
  ) -> tuple[RunState, Bad]:
    steps_per_epoch = len(images) // batch_size
    indices = batch_indices(keys.order, state.epoch, len(images), batch_size)

    def one(state: TrainState) -> tuple[TrainState, Metrics]:
      step_key = jax.random.fold_in(keys.train, state.step)
      prepare_key, loss_key = jax.random.split(step_key)
      batch = images[indices[state.step % steps_per_epoch]]
      return step(loss_key, state, prepare(prepare_key, batch))

    def is_going(carry: Any) -> Array:
      done, _, bad = carry
      return (done < num_steps) & (skip_nonfinite | (bad.step < 0))

    def body(carry: Any) -> Any:
      done, state, bad = carry
      train, metrics = one(state.train)
      finite = _all_finite(list(metrics.values()))
      now = Bad(state.train.step, metrics)
      bad = jax.tree.map(lambda a, b: jnp.where(finite, a, b), bad, now)
      if skip_nonfinite:
        same = state.train._replace(step=train.step)
        train = jax.tree.map(lambda a, b: jnp.where(finite, a, b), train, same)
      add = lambda total, x: total + jnp.where(finite, x, 0)
      state = state._replace(
        train=train,
        sums=jax.tree.map(add, state.sums, metrics),
        skipped=state.skipped + ~finite,
      )
      return done + 1, state, bad

    none = Bad(jnp.full((), -1, jnp.int32), state.sums)
    carry = (jnp.zeros((), jnp.int32), state, none)
    _, state, bad = jax.lax.while_loop(is_going, body, carry)
    return state, bad

  return jax.jit(steps, donate_argnames='state')


def _all_finite(values: Sequence[Array]) -> Array:
  return jnp.all(jnp.isfinite(jnp.stack(values)))
