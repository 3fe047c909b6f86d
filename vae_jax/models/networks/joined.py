"""Networks of two inputs: x or z, and the code of a condition y beside it."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from vae_jax.models.networks.mlp import Functions
from vae_jax.types import Array, Params


class Join(NamedTuple):
  """A way in which an encoder takes a vector beside x.

  Attributes:
    shape: shape of one x, size of the vector -> shape of the joined input.
    join: x and the vector -> the joined input.
  """

  shape: Callable[[tuple[int, ...], int], tuple[int, ...]]
  join: Callable[[Array, Array], Array]


def _append_channels(x: Array, code: Array) -> Array:
  planes = jnp.broadcast_to(code, (*x.shape[:-1], len(code)))
  return jnp.concatenate([x, planes.astype(x.dtype)], axis=-1)


# The entries of x, then those of the vector; for networks of vectors.
FLAT = Join(
  lambda shape, size: (math.prod(shape) + size,),
  lambda x, code: jnp.concatenate([jnp.ravel(x), code.astype(x.dtype)]),
)
# One constant channel for each entry of the vector; for networks of images.
CHANNELS = Join(
  lambda shape, size: (*shape[:-1], shape[-1] + size), _append_channels
)


def joined_encoder(
  make_encoder: Callable[..., Functions],
  join: Join,
  data_shape: tuple[int, ...],
  size: int,
  **options: Any,
) -> Functions:
  """Builds an encoder of x and a vector.

  Args:
    make_encoder: function of the network, such as `mlp.make_encoder`.
    join: the way in which it takes the vector.
    data_shape: shape of one x.
    size: length of the vector.
    **options: options of the network.

  Returns:
    `init(key) -> params` and `apply(params, (x, vector))`.
  """
  init, apply = make_encoder(join.shape(data_shape, size), **options)

  def apply_joined(params: Params, pair: tuple[Array, Array]) -> Any:
    return apply(params, join.join(*pair))

  return init, apply_joined


def joined_decoder(
  make_decoder: Callable[..., Functions],
  output_shape: tuple[int, ...],
  size: int,
  *,
  latent_dim: int,
  **options: Any,
) -> Functions:
  """Builds a decoder of z and a vector, which is appended to z.

  Args:
    make_decoder: function of the network, such as `mlp.make_decoder`.
    output_shape: shape of the output.
    size: length of the vector.
    latent_dim: size of z.
    **options: options of the network.

  Returns:
    `init(key) -> params` and `apply(params, (z, vector))`.
  """
  init, apply = make_decoder(
    output_shape, latent_dim=latent_dim + size, **options
  )

  def apply_joined(params: Params, pair: tuple[Array, Array]) -> Any:
    return apply(params, FLAT.join(*pair))

  return init, apply_joined
