"""Multilayer perceptrons."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from vae_jax.types import Array, ArrayLike, Key, Params

# Glorot and Bengio 2010, eq. (16); Linen's default is LeCun's.
glorot = nn.initializers.glorot_uniform()


# (size, x) -> a hidden layer of that size, inside a Flax module
Layer = Callable[[int, Array], Array]


def dense(size: int, **options: Any) -> nn.Dense:
  """Returns a layer whose parameters have the default precision of jax."""
  dtype = jnp.result_type(float)
  return nn.Dense(size, kernel_init=glorot, param_dtype=dtype, **options)


class _Hidden(nn.Module):
  """Fully connected hidden layers."""

  sizes: Sequence[int]
  layer: Layer

  @nn.compact
  def __call__(self, x: Array) -> Array:
    for size in self.sizes:
      x = self.layer(size, x)
    return x


class _Encoder(nn.Module):
  """Maps x, of any shape, to named arrays."""

  hidden_sizes: Sequence[int]
  outputs: Mapping[str, tuple[int, ...]]
  layer: Layer

  @nn.compact
  def __call__(self, x: Array) -> dict[str, Array]:
    h = _Hidden(self.hidden_sizes, self.layer)(jnp.ravel(x))
    return named_outputs(h, self.outputs)


def named_outputs(
  h: Array, outputs: Mapping[str, tuple[int, ...]]
) -> dict[str, Array]:
  """Returns a linear map of h, `[size]`, per output, inside a Flax module."""
  return {
    name: dense(math.prod(shape), name=name)(h).reshape(shape)
    for name, shape in outputs.items()
  }


class _Decoder(nn.Module):
  """Maps z, `[latent_dim]`, to one array."""

  hidden_sizes: Sequence[int]
  data_shape: tuple[int, ...]
  layer: Layer
  output_bias: ArrayLike

  @nn.compact
  def __call__(self, z: Array) -> Array:
    h = _Hidden(self.hidden_sizes, self.layer)(z)
    bias = jnp.broadcast_to(jnp.asarray(self.output_bias), self.data_shape)
    output = dense(
      bias.size,
      bias_init=lambda _, shape, dtype: bias.reshape(shape).astype(dtype),
      name='output',
    )(h)
    return output.reshape(self.data_shape)


# (init, apply)
Functions = tuple[Callable[[Key], Params], Callable[..., Any]]


def make_encoder(
  data_shape: tuple[int, ...],
  *,
  hidden_sizes: Sequence[int],
  outputs: Mapping[str, tuple[int, ...]],
  activation: Callable[[Array], Array],
) -> Functions:
  """Builds the encoder.

  Args:
    data_shape: shape of one x.
    hidden_sizes: units per hidden layer; empty for a linear map.
    outputs: name -> shape of each output.
    activation: nonlinearity of the hidden layers.

  Returns:
    `init(key) -> params` and `apply(params, x) -> {name: array}`.
  """
  return encoder(data_shape, hidden_sizes, outputs, _activated(activation))


def encoder(
  data_shape: tuple[int, ...],
  hidden_sizes: Sequence[int],
  outputs: Mapping[str, tuple[int, ...]],
  layer: Layer,
) -> Functions:
  """Builds an encoder of any kind of hidden layer; see `make_encoder`."""
  module = _Encoder(tuple(hidden_sizes), dict(outputs), layer)
  return functions(module, data_shape)


def make_decoder(
  data_shape: tuple[int, ...],
  *,
  hidden_sizes: Sequence[int],
  latent_dim: int,
  activation: Callable[[Array], Array],
  output_bias: ArrayLike = 0.0,
) -> Functions:
  """Builds the decoder.

  Args:
    data_shape: shape of the output.
    hidden_sizes: units per hidden layer of the encoder, mirrored here; empty
      for a linear map.
    latent_dim: size of z.
    activation: nonlinearity of the hidden layers.
    output_bias: initial bias of the output, a number or of `data_shape`.

  Returns:
    `init(key) -> params` and `apply(params, z) -> output`.
  """
  layer = _activated(activation)
  return decoder(data_shape, hidden_sizes, latent_dim, output_bias, layer)


def decoder(
  data_shape: tuple[int, ...],
  hidden_sizes: Sequence[int],
  latent_dim: int,
  output_bias: ArrayLike,
  layer: Layer,
) -> Functions:
  """Builds a decoder of any kind of hidden layer; see `make_decoder`."""
  sizes = tuple(hidden_sizes)[::-1]
  module = _Decoder(sizes, data_shape, layer, output_bias)
  return functions(module, (latent_dim,))


def _activated(activation: Callable[[Array], Array]) -> Layer:
  return lambda size, x: activation(dense(size)(x))


def functions(module: nn.Module, shape: tuple[int, ...]) -> Functions:
  """Returns the functions of a module that takes arrays of `shape`."""
  example = np.zeros(shape, jnp.result_type(float))

  def init(key: Key) -> Params:
    return module.init(key, example)['params']

  def apply(params: Params, x: Array) -> Any:
    return module.apply({'params': params}, x)

  return init, apply
