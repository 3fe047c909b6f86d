"""Many examples in bounded memory: the Python loop of an evaluation."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.model import VAE
from vae_jax.types import Array, Params

# Floats of one intermediate array: small enough for a CPU's cache to help.
CHUNK_FLOATS = 2**20

# Wraps the range of chunks, to show how far it is.
Progress = Callable[[Iterable[int]], Iterable[int]]


def map_chunks(
  function: Callable[[np.ndarray], Any],
  num_examples: int,
  chunk: int,
  progress: Progress = iter,
) -> Any:
  """Maps examples, some at once.

  Args:
    function: the indices of `chunk` examples -> a pytree of `[chunk, ...]`.
    num_examples: N, at least 1.
    chunk: examples a call, the same in each: one trace serves all.
    progress: wraps the range of chunks.

  Returns:
    The pytree, of NumPy's `[N, ...]`.
  """
  parts = []
  for start in progress(range(0, num_examples, chunk)):
    # The last chunk is padded by repetition.
    index = np.minimum(np.arange(start, start + chunk), num_examples - 1)
    own = min(chunk, num_examples - start)
    values = jax.device_get(function(index))
    parts.append(jax.tree.map(lambda x, n=own: x[:n], values))
  return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def as_float(x: Array) -> Array:
  """Returns what networks take: zeros and ones are kept as uint8."""
  return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)


def example_size(vae: VAE, params: Params, data: Array | np.ndarray) -> int:
  """Returns the floats of one x, or of a parameter of p(x|z) if it has more."""

  def parameters(params: Params) -> list[Array | np.ndarray]:
    z = vae.prior(params).sample(jax.random.key(0))
    leaves = jax.tree.leaves(vae.decode(params, z))
    # A distribution of the user's own need be no pytree.
    return [x for x in leaves if isinstance(x, jax.Array | np.ndarray)]

  sizes = [math.prod(x.shape) for x in jax.eval_shape(parameters, params)]
  return max(1, math.prod(data.shape[1:]), *sizes)
