"""Data parallelism: examples sharded over a mesh of devices.

Parameters are replicated on every device, and the axis of the examples is
sharded. Keys belong to examples or steps, so that the draws do not depend on
the number of devices; sums over examples differ by rounding.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P

from vae_jax.training.steps import Preprocess, Step
from vae_jax.training.train_step import Metrics, TrainState
from vae_jax.types import Key

EXAMPLES = 'examples'


def make_mesh(devices: Sequence[jax.Device]) -> Mesh:
  """Makes a mesh with one axis, that of the examples.

  The compiler derives the sharding of what is computed (`AxisType.Auto`), so
  that any model can be sharded.
  """
  return Mesh(np.asarray(devices), (EXAMPLES,), axis_types=(AxisType.Auto,))


def place(tree: Any, mesh: Mesh | None) -> Any:
  """Copies arrays to every device of a mesh.

  Args:
    tree: pytree of arrays or keys, equal in every process.
    mesh: devices, perhaps of several processes; None for no change.
  """
  if mesh is None:
    return tree
  replicated = NamedSharding(mesh, P())

  def copy(leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array):
      leaf = np.asarray(leaf)
      leaf = leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype))
    elif leaf.sharding == replicated:
      return leaf
    # `device_put` compares the copies of all processes, and takes no keys.
    return jax.make_array_from_callback(
      np.shape(leaf), replicated, lambda index: leaf[index]
    )

  return jax.tree.map(copy, tree)


def fetch(tree: Any, mesh: Mesh | None) -> Any:
  """Returns replicated arrays on the default device, for one device alone.

  Args:
    tree: pytree of arrays from `place`.
    mesh: devices to which they were copied; None for no change.
  """
  if mesh is None:
    return tree
  return jax.tree.map(jnp.asarray, jax.device_get(tree))


def share_batches(
  read: Callable[[slice], np.ndarray], shape: tuple[int, ...], mesh: Mesh
) -> jax.Array:
  """Makes batches of which each process reads the examples of its devices.

  Args:
    read: columns of the axis B -> their examples, `[S, columns, ...]`.
    shape: shape of all, `[S, B, ...]`; the number of devices divides B.
    mesh: devices, perhaps of several processes, which share the axis B.
  """
  sharding = NamedSharding(mesh, P(None, EXAMPLES))
  columns = lambda index: index[1].indices(shape[1])[:2]
  indices = sharding.addressable_devices_indices_map(shape).values()
  # The devices of a process are neighbours in the mesh.
  first = min(columns(index)[0] for index in indices)
  last = max(columns(index)[1] for index in indices)
  own = read(slice(first, last))

  def of_device(index: Any) -> np.ndarray:
    start, stop = columns(index)
    return own[:, start - first : stop - first]

  return jax.make_array_from_callback(shape, sharding, of_device)


def shard_step(step: Step, mesh: Mesh | None) -> Step:
  """Makes a gradient step whose batch is sharded and whose state is not.

  Args:
    step: a step from `make_train_step`.
    mesh: devices, whose number divides the batch; None for the step itself.
  """
  if mesh is None:
    return step

  def sharded(
    key: Key, state: TrainState, batch: Any
  ) -> tuple[TrainState, Metrics]:
    state, metrics = step(key, state, _constrain(batch, mesh, P(EXAMPLES)))
    return _constrain((state, metrics), mesh, P())

  return sharded


def shard_preprocess(preprocess: Preprocess, mesh: Mesh | None) -> Preprocess:
  """Makes a preprocessing whose examples and batch are sharded.

  Args:
    preprocess: from stored examples to a batch.
    mesh: devices, whose number divides the batch; None for no sharding.
  """
  if mesh is None:
    return preprocess

  def sharded(key: Key, examples: Any) -> Any:
    # Each device then gathers its own examples only.
    batch = preprocess(key, _constrain(examples, mesh, P(EXAMPLES)))
    return _constrain(batch, mesh, P(EXAMPLES))

  return sharded


def jit(
  function: Callable[..., Any],
  mesh: Mesh | None,
  *,
  alone: Callable[..., Any] = jax.jit,
) -> Any:
  """Compiles a function whose arguments and results are replicated.

  Args:
    function: function of arrays.
    mesh: devices; None for the default device.
    alone: compiles for the default device.
  """
  if mesh is None:
    return alone(function)
  compiled = jax.jit(function, out_shardings=NamedSharding(mesh, P()))
  return lambda *arguments: compiled(*place(arguments, mesh))


def over_examples(
  function: Callable[..., Any], in_axes: Sequence[int | None], mesh: Mesh | None
) -> Callable[..., Any]:
  """Shards a function over the examples, for use within `jit`.

  Each device computes its own examples with the program of a single device.

  Args:
    function: maps arrays `[N, ...]` to arrays `[N, ...]`, each example for
      itself; the number of devices divides N.
    in_axes: 0 for arguments with an axis of examples, None for others.
    mesh: devices; None for the function itself.
  """
  if mesh is None:
    return function
  return jax.shard_map(
    function,
    mesh=mesh,
    in_specs=tuple(P() if axis is None else P(EXAMPLES) for axis in in_axes),
    out_specs=P(EXAMPLES),
    # A scan may carry a constant that depends on the example later.
    check_vma=False,
  )


def num_devices(mesh: Mesh | None) -> int:
  """Returns the number of devices of a mesh, 1 for None."""
  return 1 if mesh is None else mesh.size


def chunk_size(num_examples: int, most: int, mesh: Mesh | None) -> int:
  """Returns the number of examples per call of what `over_examples` made.

  Args:
    num_examples: all examples, at least 1.
    most: examples that one device computes at once.
    mesh: devices; None for one.

  Returns:
    A multiple of the number of devices, which may exceed `num_examples`.
  """
  devices = num_devices(mesh)
  return devices * min(most, math.ceil(num_examples / devices))


def _constrain(tree: Any, mesh: Mesh, spec: P) -> Any:
  sharding = NamedSharding(mesh, spec)
  return jax.lax.with_sharding_constraint(
    tree, jax.tree.map(lambda leaf: sharding, tree)
  )
