"""One gradient step, and many of them compiled into one call."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.optimizer import Optimizer, apply_updates, global_norm
from vae_jax.types import Array, Key, Params

LossFn = Callable[..., Any]
Metrics = dict[str, Array]


class TrainState(NamedTuple):
  """All that a step carries to the next.

  Attributes:
    step: gradient steps taken, `[]` int32.
    params: any pytree.
    opt_state: the optimiser's.
  """

  step: Array
  params: Params
  opt_state: Any


class RunKeys(NamedTuple):
  """One key a purpose; both are parents of `fold_in` and of nothing else."""

  order: Key
  train: Key


class StepsInfo(NamedTuple):
  """What many steps report.

  Attributes:
    metrics: each the mean over the steps, `[]`.
    bad_step: the first step whose loss or gradient was not finite, or -1.
  """

  metrics: Metrics
  bad_step: Array


def init_train_state(params: Params, optimizer: Optimizer) -> TrainState:
  """Returns the state before the first step."""
  return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))


def make_train_step(
  loss_fn: LossFn,
  optimizer: Optimizer,
  *,
  schedules: Mapping[str, Callable[[Array], Array]] | None = None,
  refit: Callable[[Key, Params, Any], Params] | None = None,
) -> Callable[[Key, TrainState, Any], tuple[TrainState, Metrics]]:
  """Makes the pure function that takes one gradient step down the loss.

  Args:
    loss_fn: `loss_fn(key, params, batch)` returns the scalar loss, or a pair
      of it and a NamedTuple or mapping of terms to report.
    optimizer: an optax transformation.
    schedules: keyword argument of `loss_fn` -> its value at a step, such as a
      weight that grows.
    refit: `refit(key, params, batch) -> params` sets what has its optimum in
      closed form, before the gradient is taken there.

  Returns:
    `step(key, state, batch) -> (state, metrics)`, to be jitted by the caller.
    The metrics hold `loss`, `grad_norm`, the mean of each term and the value
    of each schedule, `[]`.
  """
  schedules = schedules or {}

  def loss_and_terms(
    params: Params, key: Key, batch: Any, scheduled: Metrics
  ) -> Any:
    value = loss_fn(key, params, batch, **scheduled)
    return value if isinstance(value, tuple) else (value, {})

  def step(
    key: Key, state: TrainState, batch: Any
  ) -> tuple[TrainState, Metrics]:
    params = state.params
    if refit:
      key, refit_key = jax.random.split(key)
      params = refit(refit_key, params, batch)
    scheduled = {name: at(state.step) for name, at in schedules.items()}
    gradient = jax.value_and_grad(loss_and_terms, has_aux=True)
    (loss, terms), grads = gradient(params, key, batch, scheduled)
    updates, opt_state = optimizer.update(grads, state.opt_state, params)
    params = apply_updates(params, updates)
    metrics = {name: jnp.mean(term) for name, term in _items(terms)}
    metrics |= scheduled | {'loss': loss, 'grad_norm': global_norm(grads)}
    return TrainState(state.step + 1, params, opt_state), metrics

  return step


def _items(terms: Any) -> Any:
  terms = terms if isinstance(terms, Mapping) else terms._asdict()
  return terms.items()


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


def make_train_steps(
  step: Callable[[Key, TrainState, Any], tuple[TrainState, Metrics]],
  prepare: Callable[[Key, Array], Array],
  batch_size: int,
) -> Callable[[RunKeys, TrainState, Array, int], tuple[TrainState, StepsInfo]]:
  """Compiles many steps of one epoch into one call, the state donated.

  Args:
    step: as `make_train_step` makes it.
    prepare: `prepare(key, images)` turns raw uint8 images into a batch, on
      the device and anew at each visit.
    batch_size: examples a step.

  Returns:
    `steps(keys, state, images, num_steps) -> (state, info)`. `images` is the
    whole set, resident on the device; `num_steps`, at least 1, may not reach
    past the end of the epoch and does not recompile.
  """

  def steps(
    keys: RunKeys, state: TrainState, images: Array, num_steps: int
  ) -> tuple[TrainState, StepsInfo]:
    steps_per_epoch = len(images) // batch_size
    epoch = state.step // steps_per_epoch
    indices = batch_indices(keys.order, epoch, len(images), batch_size)

    def one(state: TrainState) -> tuple[TrainState, Metrics]:
      step_key = jax.random.fold_in(keys.train, state.step)
      prepare_key, loss_key = jax.random.split(step_key)
      batch = images[indices[state.step % steps_per_epoch]]
      return step(loss_key, state, prepare(prepare_key, batch))

    def body(_: Array, carry: Any) -> Any:
      state, sums, bad_step = carry
      new_state, metrics = one(state)
      sums = jax.tree.map(jnp.add, sums, metrics)
      finite = jnp.isfinite(metrics['loss'] + metrics['grad_norm'])
      bad_step = jnp.where(finite | (bad_step >= 0), bad_step, state.step)
      return new_state, sums, bad_step

    shapes = jax.eval_shape(one, state)[1]
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    carry = (state, zeros, jnp.full((), -1, jnp.int32))
    state, sums, bad_step = jax.lax.fori_loop(0, num_steps, body, carry)
    means = jax.tree.map(lambda x: x / num_steps, sums)
    return state, StepsInfo(means, bad_step)

  return jax.jit(steps, donate_argnames='state')
