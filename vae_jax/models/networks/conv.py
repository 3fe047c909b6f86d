"""Convolutional networks for images of any size.

A layer of the encoder is a 3x3 convolution of stride 2, zero-padded by 1 on
each side: H rows become ceil(H / 2). The decoder mirrors it with transposed
4x4 convolutions of stride 2, of which each output pixel sees 2x2 inputs, so
that no checkerboard appears. H rows become 2 H, and the last row or column is
cropped where the encoder's image had an odd size. So the decoder returns
exactly the shape of the data.

One example per call and no batch norm: a density of one x must not depend on
the other examples of the batch. `vmap` makes one convolution of a batch.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from vae_jax.errors import UserError
from vae_jax.models.networks import mlp
from vae_jax.types import Array, ArrayLike

# Glorot's variance for a quarter of the kernel, which is all that a pixel sees
# at stride 2: with that of the whole, z fades from layer to layer.
_glorot_of_quarter = nn.initializers.variance_scaling(4, 'fan_avg', 'uniform')

# Feature maps `[H, W, C]` -> the same shape, inside a Flax module.
Refine = Callable[[Array], Array]


def convolution(features: int, **options: Any) -> nn.Conv:
  """Returns a 3x3 convolution, zero-padded by 1, that keeps the size."""
  return nn.Conv(
    features,
    (3, 3),
    padding=((1, 1), (1, 1)),
    kernel_init=mlp.glorot,
    param_dtype=jnp.result_type(float),
    **options,
  )


def _upsampling(features: int, **options: Any) -> nn.ConvTranspose:
  """Returns a transposed 4x4 convolution that doubles the size."""
  return nn.ConvTranspose(
    features,
    (4, 4),
    strides=(2, 2),
    padding='SAME',
    kernel_init=_glorot_of_quarter,
    param_dtype=jnp.result_type(float),
    **options,
  )


class _Encoder(nn.Module):
  """Maps an image to named arrays."""

  channels: Sequence[int]
  outputs: Mapping[str, tuple[int, ...]]
  refine: Refine

  @nn.compact
  def __call__(self, x: Array) -> dict[str, Array]:
    h = x.reshape(*x.shape[:2], -1)
    for features in self.channels:
      h = self.refine(convolution(features, strides=(2, 2))(h))
    return mlp.named_outputs(jnp.ravel(h), self.outputs)


class _Decoder(nn.Module):
  """Maps z, `[latent_dim]`, to an array `[H, W, ...]`."""

  channels: Sequence[int]
  data_shape: tuple[int, ...]
  refine: Refine
  output_bias: ArrayLike

  @nn.compact
  def __call__(self, z: Array) -> Array:
    # Sizes of the encoder's images, the smallest first.
    sizes = [self.data_shape[:2]]
    for _ in self.channels:
      sizes.insert(0, tuple(-(-side // 2) for side in sizes[0]))
    *inner, last = sizes[1:]
    features = tuple(self.channels)[::-1]
    start = (*sizes[0], features[0])
    h = self.refine(mlp.dense(math.prod(start))(z).reshape(start))
    for (height, width), number in zip(inner, features[1:], strict=True):
      h = self.refine(_upsampling(number)(h)[:height, :width])
    # A bias of its own for each pixel replaces that of the convolution.
    bias = jnp.broadcast_to(jnp.asarray(self.output_bias), self.data_shape)
    number = math.prod(self.data_shape[2:])
    h = _upsampling(number, use_bias=False, name='output')(h)
    own = self.param('output_bias', lambda _: bias.astype(h.dtype))
    return h[: last[0], : last[1]].reshape(self.data_shape) + own


def make_encoder(
  data_shape: tuple[int, ...],
  *,
  channels: Sequence[int],
  outputs: Mapping[str, tuple[int, ...]],
  activation: Callable[[Array], Array],
) -> mlp.Functions:
  """Builds the encoder: strided convolutions, then a linear map per output.

  Args:
    data_shape: shape of one x, `(H, W)` or `(H, W, C)`.
    channels: channels of each convolution of stride 2.
    outputs: name -> shape of each output.
    activation: nonlinearity after each convolution.

  Returns:
    `init(key) -> params` and `apply(params, x) -> {name: array}`.

  Raises:
    UserError: x is not an image, or there are no channels.
  """
  return encoder(data_shape, channels, outputs, activation, 'conv')


def make_decoder(
  data_shape: tuple[int, ...],
  *,
  channels: Sequence[int],
  latent_dim: int,
  activation: Callable[[Array], Array],
  output_bias: ArrayLike = 0.0,
) -> mlp.Functions:
  """Builds the decoder: a linear map, then transposed convolutions.

  The last one has no bias; a parameter of the shape of the output is added to
  it instead, which starts at `output_bias`.

  Args:
    data_shape: shape of the output, `(H, W, ...)`.
    channels: channels of the encoder, mirrored here.
    latent_dim: size of z.
    activation: nonlinearity of all layers but the last.
    output_bias: initial bias of the output, a number or of `data_shape`.

  Returns:
    `init(key) -> params` and `apply(params, z) -> output`.

  Raises:
    UserError: the output is not an image, or there are no channels.

  References:
    Zeiler et al. 2010, Deconvolutional Networks; Odena, Dumoulin and Olah
    2016, Deconvolution and Checkerboard Artifacts.
  """
  return decoder(
    data_shape, channels, latent_dim, output_bias, activation, 'conv'
  )


def encoder(
  data_shape: tuple[int, ...],
  channels: Sequence[int],
  outputs: Mapping[str, tuple[int, ...]],
  refine: Refine,
  name: str,
) -> mlp.Functions:
  """Builds an encoder that refines each strided convolution."""
  _check(data_shape, channels, name)
  module = _Encoder(tuple(channels), dict(outputs), refine)
  return mlp.functions(module, data_shape)


def decoder(
  data_shape: tuple[int, ...],
  channels: Sequence[int],
  latent_dim: int,
  output_bias: ArrayLike,
  refine: Refine,
  name: str,
) -> mlp.Functions:
  """Builds a decoder that refines all layers but the last."""
  _check(data_shape, channels, name)
  module = _Decoder(tuple(channels), data_shape, refine, output_bias)
  return mlp.functions(module, (latent_dim,))


def _check(
  data_shape: tuple[int, ...], channels: Sequence[int], name: str
) -> None:
  """Raises `UserError` for vectors, and for a network without layers."""
  if len(data_shape) < 2:
    raise UserError(
      f'--network={name}: got vectors of shape {tuple(data_shape)}, expected '
      'images [H, W, C]. Use --network=mlp'
    )
  if not channels:
    raise UserError(
      f'--network={name}: got no --channels, expected the channels of at least '
      'one convolution. Use --channels=32,64'
    )
