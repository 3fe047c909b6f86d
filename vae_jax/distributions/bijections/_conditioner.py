"""Dense networks that return the shift and log-scale of an affine bijection.

Plain arrays in a pytree: a bijection carries its network as parameters.
"""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions._numerics import matmul
from vae_jax.types import Array, Key

# A weight matrix `[inputs, outputs]` and a bias `[outputs]` per layer.
Layers = tuple[tuple[Array, Array], ...]

# Bound of |log-scale|: one layer stretches by less than exp(3) = 20, so that
# neither a density nor its inverse overflows.
_MOST = 3.0


def init_layers(key: Key, sizes: Sequence[int]) -> Layers:
  """Initialises tanh layers; the last is zero, so that the map starts at 0.

  Args:
    key: consumed.
    sizes: number of inputs, units of each hidden layer, number of outputs.
  """
  layers = []
  keys = jax.random.split(key, max(1, len(sizes) - 2))
  for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes[:-1])):
    # Glorot: the variance of activations neither grows nor shrinks.
    scale = math.sqrt(2 / (inputs + outputs))
    weight = scale * jax.random.normal(keys[i], (inputs, outputs))
    layers.append((weight, jnp.zeros(outputs)))
  layers.append((jnp.zeros(sizes[-2:]), jnp.zeros(sizes[-1])))
  return tuple(layers)


def init_conditioner(
  key: Key,
  inputs: int,
  outputs: int,
  *,
  width: int,
  num_hidden: int,
  context: Array | None,
  context_size: int,
) -> Layers:
  """Initialises the layers of a network of x and a context.

  Args:
    key: consumed.
    inputs: number of inputs beside the context.
    outputs: number of outputs.
    width: units per hidden layer.
    num_hidden: number of hidden layers.
    context: the context, `[C]`; None for none, or for one that is set later.
    context_size: C where `context` is not given.
  """
  extra = context_size if context is None else len(context)
  return init_layers(key, (inputs + extra, *(width,) * num_hidden, outputs))


def shift_and_log_scale(
  layers: Layers, x: Array, masks: Sequence[np.ndarray] | None = None
) -> tuple[Array, Array]:
  """Applies a network; its outputs are a shift and a bounded log-scale.

  Args:
    layers: weights and biases.
    x: input, `[inputs]`.
    masks: zeros and ones of the shape of each weight matrix; None for all.

  Returns:
    Two arrays, half of the outputs each; the second within +-3.
  """
  for i, (weight, bias) in enumerate(layers):
    if masks is not None:
      weight = weight * masks[i].astype(weight.dtype)
    x = matmul(x, weight) + bias
    if i < len(layers) - 1:
      x = jnp.tanh(x)
  shift, raw = jnp.split(x, 2)
  # Smooth, so that the density is: samplers follow its gradient.
  return shift, _MOST * jnp.tanh(raw / _MOST)


def with_context(x: Array, context: Array | None) -> Array:
  """Appends the context, `[C]`, to the input of a network."""
  if context is None:
    return x
  return jnp.concatenate([x, jnp.asarray(context, x.dtype)])
