"""Evaluation of many examples in chunks of bounded memory."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import (
  Distribution,
  LowRankNormal,
  Transformed,
  sample,
)
from vae_jax.distributions._numerics import float32_or_wider
from vae_jax.models import Inference, LatentModel, as_float
from vae_jax.training.loss import batch_size_of
from vae_jax.types import Array, Example, Key, Latent, Params

# Floats in one intermediate array: small enough to stay in a CPU's cache.
CHUNK_FLOATS = 2**20

# Wraps the range of chunks, to display progress.
Progress = Callable[[Iterable[int]], Iterable[int]]


def map_chunks(
  function: Callable[[np.ndarray], Any],
  num_examples: int,
  chunk: int,
  progress: Progress = iter,
) -> Any:
  """Maps a function over examples in chunks, outside of `jit`.

  Args:
    function: maps the indices of `chunk` examples to a pytree of
      `[chunk, ...]` arrays.
    num_examples: number of examples, N, at least 1.
    chunk: examples per call, equal for all calls so that one trace serves.
    progress: wraps the range of chunks.

  Returns:
    The pytree with NumPy arrays `[N, ...]`.
  """
  parts = []
  for start in progress(range(0, num_examples, chunk)):
    # The last chunk is padded by repeating the last example.
    index = np.minimum(np.arange(start, start + chunk), num_examples - 1)
    own = min(chunk, num_examples - start)
    values = jax.device_get(function(index))
    parts.append(jax.tree.map(lambda x, n=own: x[:n], values))
  return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def count_examples(data: Any) -> int:
  """Returns the number of examples in a pytree of `[N, ...]` arrays.

  Raises:
    ValueError: N is 0, or the arrays differ in N.
  """
  count = batch_size_of(data)
  if count == 0:
    raise ValueError('data holds no example')
  return count


def take(data: Any, index: Any) -> Any:
  """Returns the examples of these indices, a pytree."""
  return jax.tree.map(lambda leaf: leaf[index], data)


def condition(
  model: LatentModel, params: Params, example: Example
) -> Inference:
  """Conditions the model on an example whose x is cast to float.

  Raises:
    ValueError: the events of posterior and prior differ in shape.
  """
  inference = model.condition(params, as_float(example))
  q, prior = inference.posterior, inference.prior
  if q.shape != prior.shape:
    raise ValueError(
      f'posterior {q.name} has shape {q.shape} and prior {prior.name} has '
      f'shape {prior.shape}: they must be equal'
    )
  return inference


def describe_model(
  ask: Callable[[Inference], Any], model: LatentModel, params: Params, data: Any
) -> Any:
  """Returns `ask(inference)` for the first example, without computing it.

  Args:
    ask: returns shapes, names and other facts known while tracing.
    model: any `LatentModel`.
    params: parameters of the model.
    data: pytree of `[N, ...]` arrays.
  """
  answers = []

  def trace(params: Params, data: Any) -> None:
    answers.append(ask(condition(model, params, take(data, 0))))

  jax.eval_shape(trace, params, jax.tree.map(jnp.asarray, data))
  return answers[0]


def example_size(model: LatentModel, params: Params, data: Any) -> int:
  """Returns the size of x, or of the largest parameter of p(x|z) if larger."""

  def size(inference: Inference) -> int:
    z = inference.prior.sample(jax.random.key(0))
    leaves = jax.tree.leaves((inference.x, inference.likelihood(z)))
    # A user's distribution need not be a pytree.
    arrays = [x for x in leaves if isinstance(x, jax.Array | np.ndarray)]
    return max(1, *(math.prod(x.shape) for x in arrays))

  return describe_model(size, model, params, data)


def draw_with_log_weight(
  key: Key, inference: Inference
) -> tuple[Latent, Array]:
  """Draws z ~ q(z|x); returns z and log w = log p(x, z) - log q(z|x), `[]`.

  log w is in float32 or wider, without gradient in z.
  """
  z, log_q = draw_with_log_prob(key, inference.posterior)
  log_w = inference.log_joint(z) - log_q
  return z, log_w.astype(float32_or_wider(log_w.dtype))


def draw_with_log_prob(key: Key, q: Distribution) -> tuple[Latent, Array]:
  """Draws z ~ q without gradient; returns z and log q(z), `[]`."""
  # `draw_and_log_prob` needs a differentiable draw, which a discrete q lacks;
  # the other families know the density of their draws in one pass.
  if q.has_inverse and not isinstance(q, LowRankNormal | Transformed):
    z = sample(key, q)
    return z, q.log_prob(z)
  return jax.lax.stop_gradient(q.draw_and_log_prob(key))
