"""Importance-sampling estimates of log p(x) of one example at several K."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import _shapes
from vae_jax.evaluate import chunks
from vae_jax.models import LatentModel
from vae_jax.types import Array, Example, Key, Params

# (key, params, chunks of samples, index of the example, example) -> log p(x) at
# each K, and ESS
LogMarginals = Callable[
  [Key, Params, 'SampleChunks', Array, Example], tuple[Array, Array]
]


class SampleChunks(NamedTuple):
  """Chunks of samples of one size, each up to one of the values of K.

  Attributes:
    first: first sample of each chunk, `[C]`.
    end: the value of K up to which its samples count, `[C]`.
    point: index of that K, `[C]`.
    at: the values of K, `[P]`.
  """

  first: Any
  end: Any
  point: Any
  at: Any


def make_chunks(num_samples: Sequence[int], draws: int) -> SampleChunks:
  """Divides the samples between each K and the next into chunks."""
  chunks = [
    (first, end, point)
    for point, (start, end) in enumerate(
      zip((0, *num_samples), num_samples, strict=False)
    )
    for first in range(start, end, draws)
  ]
  first, end, point = np.array(chunks, np.int32).T
  return SampleChunks(first, end, point, np.array(num_samples, np.int32))


def make_log_marginals(model: LatentModel, draws: int) -> LogMarginals:
  """Makes log 1/K sum_k w_k of one example at each K, and its ESS.

  Args:
    model: any `LatentModel`.
    draws: samples per chunk.
  """

  def log_marginals(
    key: Key,
    params: Params,
    chunked: SampleChunks,
    index: Array,
    example: Example,
  ) -> tuple[Array, Array]:
    example_key = jax.random.fold_in(key, index)
    inference = chunks.condition(model, params, example)

    def log_weight(k: Array, end: Array) -> Array:
      own_key = jax.random.fold_in(example_key, k)
      _, log_w = chunks.draw_with_log_weight(own_key, inference)
      _shapes.assert_rank(log_w, 0)
      # Draws beyond `end` pad the last chunk of a K and have weight 0.
      return jnp.where(k < end, log_w, -jnp.inf)

    def add_chunk(chunk: Array, carry: Any) -> Any:
      total, squares, found = carry
      first, end, point = (x[chunk] for x in chunked[:3])
      numbers = first + jnp.arange(draws, dtype=first.dtype)
      log_w = jax.vmap(log_weight, (0, None))(numbers, end)
      total = jnp.logaddexp(total, jax.nn.logsumexp(log_w))
      squares = jnp.logaddexp(squares, jax.nn.logsumexp(2 * log_w))
      return total, squares, found.at[point].set(total)

    dtype = jax.eval_shape(log_weight, *jnp.arange(2)).dtype
    none = jnp.full(len(chunked.at), -jnp.inf, dtype)
    total, squares, found = jax.lax.fori_loop(
      0, len(chunked.first), add_chunk, (none[0], none[0], none)
    )
    log_k = jnp.log(chunked.at.astype(dtype))
    return found - log_k, jnp.exp(2 * total - squares)

  return log_marginals
