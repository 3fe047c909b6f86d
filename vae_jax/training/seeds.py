"""Many seeds in one program: training vectorised over stacked states."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.training.epoch import Batches, RunState
from vae_jax.training.steps import NonFinite, Steps
from vae_jax.training.train_step import TrainState
from vae_jax.types import Array, Key

# Axis of the seeds of each part. The counts stay scalars that all share: a loop
# over steps whose predicate had an axis would select every part of its carry.
_SHARED: Any = None
_OWN: Any = 0
_STATE = RunState(
  train=TrainState(step=_SHARED, params=_OWN, opt_state=_OWN, ema=_OWN),
  epoch=_SHARED,
  sums=_OWN,
  skipped=_OWN,
  best_elbo=_SHARED,
  best_step=_SHARED,
)
_BATCHES = Batches(data=_SHARED, rows=_OWN, first=_SHARED)


class SeedNonFinite(NamedTuple):
  """First step with a non-finite metric over all seeds.

  Attributes:
    seed: the seed of the step.
    found: the step, and its metrics.
  """

  seed: int
  found: NonFinite

  @property
  def step(self) -> Array:
    """Number of the step, -1 for none."""
    return self.found.step

  def __str__(self) -> str:
    """Returns the seed and the step, and its non-finite metrics."""
    return f'seed {self.seed}, {self.found}'


def stack(states: Sequence[RunState]) -> RunState:
  """Stacks the states of several seeds, which are at the same step.

  Returns:
    One state whose parameters, state of the optimizer, sums and counts of
    skipped steps have a leading axis `[S]`; the others are those of the first.
  """
  return jax.tree.map(
    lambda axis, *each: each[0] if axis is None else stack_trees(each),
    *(_STATE, *states),
    is_leaf=_is_axis,
  )


def take(state: RunState, index: Any) -> RunState:
  """Returns the state of one seed of a stack."""
  return jax.tree.map(
    lambda axis, part: part if axis is None else take_one(part, index),
    *(_STATE, state),
    is_leaf=_is_axis,
  )


def stack_trees(trees: Sequence[Any]) -> Any:
  """Stacks pytrees of equal structure along a leading axis."""
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def take_one(tree: Any, index: Any) -> Any:
  """Returns one entry of the leading axis of every array."""
  return jax.tree.map(lambda leaf: leaf[index], tree)


def stack_batches(each: Sequence[Batches]) -> Batches:
  """Joins the batches of several seeds over the same data."""
  return each[0]._replace(rows=jnp.stack([one.rows for one in each]))


def over_seeds(steps: Steps, *, together: bool = True) -> Steps:
  """Compiles the steps of many seeds into one program.

  Args:
    steps: from `make_steps` or `make_skipping_steps`.
    together: whether the seeds take each step together, by `jax.vmap`, which
      an accelerator computes in little more than the time of one. Otherwise a
      seed takes all steps of the call before the next one does: on a CPU one
      model at a time stays in the cache, and its numbers have the same bits as
      those of a run of one seed.

  Returns:
    `steps(train_keys, state, batches, num_steps) -> (state, finite)` with keys
    `[S]`, stacked state and batches, and `finite` by seed, `[S]`.
  """
  if together:
    axes = (0, _STATE, _BATCHES, None)
    return jax.jit(jax.vmap(steps, axes, (_STATE, 0)))

  def in_turn(
    train_keys: Key, state: RunState, batches: Batches, num_steps: int
  ) -> tuple[RunState, Array]:
    def one(i: Array) -> tuple[RunState, Array]:
      own = _of_seed(train_keys, state, batches, i)
      return steps(*own, num_steps)

    after, finite = jax.lax.map(one, jnp.arange(len(train_keys)))
    return _with_shared(after), finite

  return jax.jit(in_turn)


def find_over_seeds(
  find: Callable[[Key, RunState, Batches, int], NonFinite],
  steps: Steps,
  numbers: Sequence[int],
) -> Callable[[Key, RunState, Batches, int], SeedNonFinite]:
  """Makes the search for the first seed and step that is not finite.

  Args:
    find: from `make_find_nonfinite`.
    steps: from `over_seeds`.
    numbers: the seeds.

  Returns:
    `find(train_keys, state, batches, num_steps)` of a call that was not
    finite, from the state before it.
  """

  def find_first(
    train_keys: Key, state: RunState, batches: Batches, num_steps: int
  ) -> SeedNonFinite:
    found = [
      find(*_of_seed(train_keys, state, batches, i), num_steps)
      for i in range(len(numbers))
    ]
    named = [i for i, one in enumerate(found) if one.step >= 0]
    if named:
      index = min(named, key=lambda i: int(found[i].step))
    else:
      # Only the parameters or the state of the optimizer are not finite.
      _, finite = steps(train_keys, state, batches, num_steps)
      index = int(jnp.argmin(finite))
    return SeedNonFinite(numbers[index], found[index])

  return find_first


def _of_seed(
  train_keys: Key, state: RunState, batches: Batches, index: Any
) -> tuple[Key, RunState, Batches]:
  # A parent of `fold_in`, which every call takes again.
  key = jax.random.clone(train_keys)[index]
  own = batches._replace(rows=batches.rows[index])
  return key, take(state, index), own


def _with_shared(state: RunState) -> RunState:
  """Returns a stack whose shared values are those of the first seed."""
  return jax.tree.map(
    lambda axis, part: part[0] if axis is None else part,
    *(_STATE, state),
    is_leaf=_is_axis,
  )


def _is_axis(leaf: Any) -> bool:
  return leaf is None or leaf == 0
