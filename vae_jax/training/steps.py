"""Many gradient steps compiled into one call."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from vae_jax.training.epoch import Batches, RunState
from vae_jax.training.train_step import GRAD_NORM, Metrics, TrainState
from vae_jax.types import Array, Key

Step = Callable[[Key, TrainState, Any], tuple[TrainState, Metrics]]
Preprocess = Callable[[Key, Any], Any]
# (train_key, state, batches, num_steps) -> (state, finite)
Steps: TypeAlias = Callable[
  [Key, RunState, Batches, int], tuple[RunState, Array]
]

# Examples of at most 8 steps, and of about a million numbers, are preprocessed
# together: small batches are up to 1.5 times as fast, and memory is bounded.
_STEPS_PER_BLOCK = 8
_NUMBERS_PER_BLOCK = 2**20


class NonFinite(NamedTuple):
  """First step with a non-finite metric, -1 for none, and its metrics."""

  step: Array
  metrics: Metrics

  def __str__(self) -> str:
    """Returns the step, and its non-finite metrics with their values."""
    if int(self.step) < 0:
      return 'the parameters or the state of the optimizer'
    terms = [
      f'{name} is {float(value)}'
      for name, value in self.metrics.items()
      if not jnp.isfinite(value)
    ]
    return f'step {int(self.step)}: {", ".join(terms)}'


def make_steps(step: Step, preprocess: Preprocess) -> Steps:
  """Compiles many steps of one epoch into one call.

  No step computes the norm of its gradient or tests that it is finite: a sum
  over all parameters takes up to a third of a step. A gradient that is not
  finite stays in the parameters or the state of the optimizer, which are
  tested once, at the end of the call; `make_find_nonfinite` names the step.

  Args:
    step: a step from `make_train_step`.
    preprocess: `preprocess(key, examples)` turns stored examples into a batch
      on the device, with new randomness at each visit.

  Returns:
    `steps(train_key, state, batches, num_steps) -> (state, finite)`. The key
    is a parent of `fold_in` only; `num_steps`, at least 1, ends within the
    epoch and within `batches`, and does not recompile. Every division of an
    epoch into calls gives the same bits. Where `finite` is false, the state
    must be discarded. The given state is not donated: the call may be repeated.
  """

  def steps(
    train_key: Key, state: RunState, batches: Batches, num_steps: int
  ) -> tuple[RunState, Array]:
    end = state.train.step + num_steps
    length = _steps_per_block(batches)
    prepare = _make_prepare(preprocess, train_key, batches)

    def block(carry: Any) -> Any:
      numbers = carry[0].step + jnp.arange(length, dtype=jnp.int32)
      prepared = jax.vmap(prepare)(numbers)

      def one(i: Array, carry: Any) -> Any:
        train, sums = carry
        batch = jax.tree.map(lambda leaf: leaf[i], prepared)
        _, loss_key = _step_keys(train_key, train.step)
        train, metrics = step(loss_key, train, batch)
        return train, {name: sums[name] + metrics[name] for name in sums}

      left = end - carry[0].step
      return jax.lax.fori_loop(0, jnp.minimum(left, length), one, carry)

    carry = (state.train, state.sums)
    train, sums = jax.lax.while_loop(lambda c: c[0].step < end, block, carry)
    finite = all_finite((train.params, train.opt_state, sums))
    return state._replace(train=train, sums=sums), finite

  return jax.jit(steps)


def make_skipping_steps(step: Step, preprocess: Preprocess) -> Steps:
  """Makes `make_steps` that skip and count steps that are not finite.

  Each step tests its loss, terms and gradient, which takes time.
  """

  def steps(
    train_key: Key, state: RunState, batches: Batches, num_steps: int
  ) -> tuple[RunState, Array]:
    one = _make_one(step, preprocess, train_key, batches)

    def body(i: Array, state: RunState) -> RunState:
      del i
      train, metrics = one(state.train)
      finite = all_finite(metrics)
      add = lambda name: jnp.where(finite, metrics[name], 0)
      keep = lambda new, old: jnp.where(finite, new, old)
      # The number of the step counts skipped ones, too.
      unkept = lambda train: train._replace(step=None)
      kept = jax.tree.map(keep, unkept(train), unkept(state.train))
      return state._replace(
        train=kept._replace(step=train.step),
        sums={name: total + add(name) for name, total in state.sums.items()},
        skipped=state.skipped + (~finite).astype(jnp.int32),
      )

    return jax.lax.fori_loop(0, num_steps, body, state), jnp.bool_(True)

  return jax.jit(steps)


def make_find_nonfinite(
  step: Step, preprocess: Preprocess
) -> Callable[[Key, RunState, Batches, int], NonFinite]:
  """Makes the search for the first step that is not finite.

  Args:
    step: as for `make_steps`.
    preprocess: as for `make_steps`.

  Returns:
    `find(train_key, state, batches, num_steps)` takes the steps of a call
    again, from the state before it, and tests loss, terms and gradient of
    each.
  """

  def find(
    train_key: Key, state: RunState, batches: Batches, num_steps: int
  ) -> NonFinite:
    one = _make_one(step, preprocess, train_key, batches)
    end = state.train.step + num_steps
    names = jax.eval_shape(one, state.train)[1]

    def continues(carry: tuple[TrainState, NonFinite]) -> Array:
      train, bad = carry
      return (train.step < end) & (bad.step < 0)

    def body(
      carry: tuple[TrainState, NonFinite],
    ) -> tuple[TrainState, NonFinite]:
      train, metrics = one(carry[0])
      number = jnp.where(all_finite(metrics), -1, carry[0].step)
      return train, NonFinite(number, metrics)

    metrics = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), names)
    start = (state.train, NonFinite(jnp.full((), -1, jnp.int32), metrics))
    return jax.lax.while_loop(continues, body, start)[1]

  return jax.jit(find)


def make_metrics(
  step: Step, preprocess: Preprocess
) -> Callable[[Key, TrainState, Any], Metrics]:
  """Makes `metrics(key, state, examples)` of a step on stored examples."""

  def metrics(key: Key, train: TrainState, examples: Any) -> Metrics:
    preprocess_key, loss_key = jax.random.split(key)
    return step(loss_key, train, preprocess(preprocess_key, examples))[1]

  return metrics


def make_gradient_norm(
  step: Step, preprocess: Preprocess
) -> Callable[[Key, TrainState, Any], Array]:
  """Compiles the norm of the gradient of a step on stored examples.

  The key is a parent of one `fold_in` per number of steps taken.
  """
  metrics = make_metrics(step, preprocess)

  def norm(key: Key, train: TrainState, examples: Any) -> Array:
    norm_key = jax.random.fold_in(key, train.step)
    return metrics(norm_key, train, examples)[GRAD_NORM]

  return jax.jit(norm)


def all_finite(tree: Any) -> Array:
  """Returns whether every floating number of a pytree is finite, `[]`."""
  leaves = [x for x in jax.tree.leaves(tree) if _is_floating(x)]
  return jnp.all(jnp.array([jnp.all(jnp.isfinite(x)) for x in leaves]))


def _step_keys(train_key: Key, number: Array) -> tuple[Key, Key]:
  """Returns the keys of the preprocessing and of the loss of a step."""
  preprocess_key, loss_key = jax.random.split(
    jax.random.fold_in(train_key, number)
  )
  return preprocess_key, loss_key


def _make_prepare(
  preprocess: Preprocess, train_key: Key, batches: Batches
) -> Callable[[Array], Any]:
  """Makes number of a step -> its batch."""

  def prepare(number: Array) -> Any:
    preprocess_key, _ = _step_keys(train_key, number)
    return preprocess(preprocess_key, batches.take(number))

  return prepare


def _make_one(
  step: Step, preprocess: Preprocess, train_key: Key, batches: Batches
) -> Callable[[TrainState], tuple[TrainState, Metrics]]:
  prepare = _make_prepare(preprocess, train_key, batches)

  def one(train: TrainState) -> tuple[TrainState, Metrics]:
    _, loss_key = _step_keys(train_key, train.step)
    return step(loss_key, train, prepare(train.step))

  return one


def _steps_per_block(batches: Batches) -> int:
  """Returns the number of steps whose examples are preprocessed together."""
  num_steps, batch_size = batches.shape
  size = batch_size * batches.numbers_per_example
  fitting = _NUMBERS_PER_BLOCK // max(size, 1)
  return max(1, min(_STEPS_PER_BLOCK, num_steps, fitting))


def _is_floating(leaf: Any) -> bool:
  return jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
