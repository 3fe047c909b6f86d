"""Batches of a training set on disk, read ahead of the steps that take them."""

import functools
import threading
from collections.abc import Callable, Generator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from vae_jax.data.read_ahead import read_ahead
from vae_jax.data.streamed import Streamed
from vae_jax.training.epoch import (
  Batches,
  Indices,
  RunState,
  batch_indices,
  make_resident,
)
from vae_jax.training.loss import batch_size_of
from vae_jax.training.mesh import place, share_batches
from vae_jax.types import Key

# Bytes of the examples of a block. Not fewer than `make_steps` preprocesses
# together, 2^20, lest another program with other rounding were compiled.
_BUFFER_BYTES = 2**24


def make_batches(
  order_key: Key,
  x: Any,
  batch_size: int,
  num_epochs: int,
  mesh: Mesh | None = None,
  indices: Indices | None = None,
) -> tuple[Callable[[RunState], Batches], int]:
  """Makes the batches of a training set in memory, or on disk.

  Args:
    order_key: parent of one key per epoch, by `fold_in` only.
    x: training set, `Streamed` or a pytree of `[N, ...]` arrays.
    batch_size: examples per step.
    num_epochs: number of epochs.
    mesh: devices, of which each gets all examples; None for one.
    indices: as for `make_resident`, of a set in memory.

  Returns:
    `batches(state)`, and the number of steps that a call of it covers, from a
    multiple of this number within the epoch.
  """
  if isinstance(x, Streamed):
    feed = Feed(order_key, x, batch_size, num_epochs, mesh)
    return feed, feed.steps_per_block
  if mesh is None:
    x = jax.tree.map(jnp.asarray, x)
  order_key, x = place((order_key, x), mesh)
  resident = make_resident(order_key, x, batch_size, indices)
  return resident, count_examples(x) // batch_size


def count_examples(x: Any) -> int:
  """Returns the number of examples in memory or on disk."""
  return len(x) if isinstance(x, Streamed) else batch_size_of(x)


class Feed:
  """Returns `batches(state)` of examples on disk, as `make_resident` does.

  An epoch is cut into blocks of consecutive steps. The examples of a block are
  read in the background at the rows of the same permutation as in memory, a
  pure function of the key and the epoch: there is no state to save. Every block
  has the same shape, so that the steps compile once.

  Attributes:
    steps_per_block: number of steps of a block; a call ends within a block.
  """

  def __init__(
    self,
    order_key: Key,
    x: Streamed,
    batch_size: int,
    num_epochs: int,
    mesh: Mesh | None = None,
  ) -> None:
    """Plans the blocks; nothing is read before the first call.

    Args:
      order_key: parent of one key per epoch, by `fold_in` only.
      x: training set, `[N, ...]`.
      batch_size: examples per step.
      num_epochs: number of epochs after which nothing is read.
      mesh: devices, which share the batches: a process reads the examples of
        its own devices only. None for one.
    """
    self._x, self._batch_size, self._mesh = x, batch_size, mesh
    self._steps_per_epoch = len(x) // batch_size
    bytes_per_step = batch_size * (x.nbytes // len(x))
    fitting = max(1, _BUFFER_BYTES // bytes_per_step)
    self.steps_per_block = min(fitting, self._steps_per_epoch)
    self._per_epoch = -(-self._steps_per_epoch // self.steps_per_block)
    self._num_blocks = num_epochs * self._per_epoch
    self._rows = None
    if mesh is None:
      size = self.steps_per_block * batch_size
      rows = np.arange(size, dtype=np.int32).reshape(-1, batch_size)
      self._rows = jnp.asarray(rows)
    order = jax.jit(batch_indices, static_argnums=(2, 3))

    @functools.lru_cache(maxsize=2)
    def order_of(epoch: int) -> np.ndarray:
      return np.asarray(order(order_key, epoch, len(x), batch_size))

    self._order, self._lock = order_of, threading.Lock()
    self._blocks: Generator[Any, None, None] | None = None
    self._number, self._data = -1, None

  def __call__(self, state: RunState) -> Batches:
    """Returns the block of the next step.

    Raises:
      ReadError: a file is missing, damaged or has changed.
    """
    epoch = int(state.epoch)
    start = epoch * self._steps_per_epoch
    block = (int(state.train.step) - start) // self.steps_per_block
    self._seek(epoch * self._per_epoch + block)
    first = start + block * self.steps_per_block
    number = place(jnp.asarray(first, jnp.int32), self._mesh)
    return Batches(self._data, self._rows, number)

  def close(self) -> None:
    """Ends the reading in the background."""
    if self._blocks is not None:
      self._blocks.close()
    self._blocks, self._number, self._data = None, -1, None

  def _seek(self, number: int) -> None:
    """Makes the block of a number the present one."""
    if number == self._number:
      return
    if self._blocks is None or number != self._number + 1:
      self.close()
      self._blocks = read_ahead(self._read, number, self._num_blocks)
    self._data = None  # Frees its memory on the device.
    try:
      self._data = next(self._blocks)
    except BaseException:
      self.close()
      raise
    self._number = number

  # Guards and other settings of jax belong to one thread.
  @jax.transfer_guard('allow')
  def _read(self, number: int) -> Any:
    """Reads the examples of a block, those after the epoch's end as zeros."""
    epoch, block = divmod(number, self._per_epoch)
    with self._lock:  # One thread computes the permutation, the others wait.
      order = self._order(epoch)
    first = block * self.steps_per_block
    rows = order[first : first + self.steps_per_block]
    if self._mesh is None:
      shape = (self.steps_per_block * self._batch_size,)
      return jnp.asarray(self._examples(rows).reshape(*shape, *self._shape))
    return share_batches(
      lambda columns: self._examples(rows[:, columns]),
      (self.steps_per_block, self._batch_size, *self._shape),
      self._mesh,
    )

  @property
  def _shape(self) -> tuple[int, ...]:
    return self._x.shape[1:]

  def _examples(self, rows: np.ndarray) -> np.ndarray:
    """Reads the rows of each step, `[S, B]`, and zeros for missing steps."""
    x = self._x[rows.reshape(-1)].reshape(*rows.shape, *self._shape)
    missing = self.steps_per_block - len(x)
    if missing:
      zeros = np.zeros((missing, *x.shape[1:]), x.dtype)
      x = np.concatenate([x, zeros])
    return x
