"""Encoder and decoder networks: arrays in, arrays out, no probability."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from vae_jax.types import Array, ArrayLike, Key, Params

# Glorot and Bengio 2010, eq. (16); Linen's default is LeCun's.
_glorot = nn.initializers.glorot_uniform()

ACTIVATIONS: dict[str, Callable[[Any], Array]] = {
  'elu': jax.nn.elu,
  'gelu': jax.nn.gelu,
  'relu': jax.nn.relu,
  'silu': jax.nn.silu,
  'softplus': jax.nn.softplus,
  'tanh': jnp.tanh,
}


# exp(2 x 20) is a float32 also when many are summed, squared and summed again.
_WIDEST = 20.0


def bounded(log_scale: Array) -> Array:
  """Returns log-scales within +-20, as if there were no bound to the gradient.

  A network may give any number; beyond 20 the KL, the density of data or the
  norm of their gradients would leave float32, and the run would end. The
  gradient, which is that at the bound, brings the number back.
  """
  within = jnp.clip(log_scale, -_WIDEST, _WIDEST)
  return log_scale + jax.lax.stop_gradient(within - log_scale)


class _Hidden(nn.Module):
  """Fully connected layers, each followed by the activation."""

  sizes: Sequence[int]
  activation: Callable[[Array], Array]

  @nn.compact
  def __call__(self, x: Array) -> Array:
    for size in self.sizes:
      x = self.activation(nn.Dense(size, kernel_init=_glorot)(x))
    return x


class _Encoder(nn.Module):
  """x, of any shape, to named arrays."""

  hidden_sizes: Sequence[int]
  outputs: Mapping[str, tuple[int, ...]]
  activation: Callable[[Array], Array]

  @nn.compact
  def __call__(self, x: Array) -> dict[str, Array]:
    h = _Hidden(self.hidden_sizes, self.activation)(jnp.ravel(x))
    dense = lambda name, shape: nn.Dense(
      math.prod(shape), kernel_init=_glorot, name=name
    )(h)
    return {
      name: dense(name, shape).reshape(shape)
      for name, shape in self.outputs.items()
    }


class _Decoder(nn.Module):
  """z `[latent_dim]` to an array of the data's shape."""

  hidden_sizes: Sequence[int]
  data_shape: tuple[int, ...]
  activation: Callable[[Array], Array]
  output_bias: ArrayLike

  @nn.compact
  def __call__(self, z: Array) -> Array:
    h = _Hidden(self.hidden_sizes, self.activation)(z)
    bias = jnp.broadcast_to(jnp.asarray(self.output_bias), self.data_shape)
    output = nn.Dense(
      bias.size,
      kernel_init=_glorot,
      bias_init=lambda _, shape, dtype: bias.reshape(shape).astype(dtype),
      name='output',
    )(h)
    return output.reshape(self.data_shape)


Network = tuple[Callable[[Key], Params], Callable[..., Any]]


def make_encoder(
  data_shape: tuple[int, ...],
  *,
  hidden_sizes: Sequence[int],
  outputs: Mapping[str, tuple[int, ...]],
  activation: Callable[[Array], Array],
) -> Network:
  """Returns `init(key) -> params` and `apply(params, x) -> {name: array}`.

  x has shape `data_shape`; each output has the shape that `outputs` gives to
  its name.
  """
  module = _Encoder(tuple(hidden_sizes), dict(outputs), activation)
  return _functions(module, jnp.zeros(data_shape))


def make_decoder(
  data_shape: tuple[int, ...],
  *,
  hidden_sizes: Sequence[int],
  latent_dim: int,
  activation: Callable[[Array], Array],
  output_bias: ArrayLike = 0.0,
) -> Network:
  """Returns `init(key) -> params` and `apply(params, z) -> output`.

  z has shape `[latent_dim]`, the output `data_shape`; its bias starts at
  `output_bias`, a number or an array of `data_shape`.
  """
  module = _Decoder(tuple(hidden_sizes), data_shape, activation, output_bias)
  return _functions(module, jnp.zeros(latent_dim))


def _functions(module: nn.Module, example: Array) -> Network:
  def init(key: Key) -> Params:
    return module.init(key, example)['params']

  def apply(params: Params, x: Array) -> Any:
    return module.apply({'params': params}, x)

  return init, apply
