"""Residual convolutional networks for images of any size.

The stages of `conv`, each followed by residual blocks of two 3x3 convolutions,

h + conv(f(conv(f(h)))) / sqrt(B),

with the activation f and B blocks in the encoder or decoder. The factor bounds
the growth of the variance with depth, which batch norm would do elsewhere: one
example per call, and a density of one x must not depend on the batch.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from vae_jax.models.networks import conv, mlp
from vae_jax.types import Array, ArrayLike


def make_encoder(
  data_shape: tuple[int, ...],
  *,
  channels: Sequence[int],
  num_blocks: int,
  outputs: Mapping[str, tuple[int, ...]],
  activation: Callable[[Array], Array],
) -> mlp.Functions:
  """Builds the encoder: stages of a strided convolution and residual blocks.

  Args:
    data_shape: shape of one x, `(H, W)` or `(H, W, C)`.
    channels: channels of each stage.
    num_blocks: residual blocks per stage.
    outputs: name -> shape of each output.
    activation: nonlinearity f.

  Returns:
    `init(key) -> params` and `apply(params, x) -> {name: array}`.

  Raises:
    UserError: x is not an image, or there are no channels.

  References:
    He et al. 2016, Identity Mappings in Deep Residual Networks, figure 4(e);
    De and Smith 2020, Batch Normalization Biases Residual Blocks Towards the
    Identity Function in Deep Networks, section 4.
  """
  refine = _blocks(num_blocks, len(channels), activation)
  return conv.encoder(data_shape, channels, outputs, refine, 'resnet')


def make_decoder(
  data_shape: tuple[int, ...],
  *,
  channels: Sequence[int],
  num_blocks: int,
  latent_dim: int,
  activation: Callable[[Array], Array],
  output_bias: ArrayLike = 0.0,
) -> mlp.Functions:
  """Builds the decoder: residual blocks before each transposed convolution.

  Args:
    data_shape: shape of the output, `(H, W, ...)`.
    channels: channels of the encoder, mirrored here.
    num_blocks: residual blocks per stage.
    latent_dim: size of z.
    activation: nonlinearity f.
    output_bias: initial bias of the output, a number or of `data_shape`; a
      parameter of that shape, as in `conv.make_decoder`.

  Returns:
    `init(key) -> params` and `apply(params, z) -> output`.

  Raises:
    UserError: the output is not an image, or there are no channels.
  """
  refine = _blocks(num_blocks, len(channels), activation)
  return conv.decoder(
    data_shape, channels, latent_dim, output_bias, refine, 'resnet'
  )


def _blocks(
  num_blocks: int, num_stages: int, activation: Callable[[Array], Array]
) -> conv.Refine:
  """Returns the residual blocks of one stage, then the activation."""
  factor = 1 / math.sqrt(max(1, num_blocks * num_stages))

  def refine(h: Array) -> Array:
    for _ in range(num_blocks):
      change = conv.convolution(h.shape[-1])(activation(h))
      change = conv.convolution(h.shape[-1])(activation(change))
      h = h + factor * change
    return activation(h)

  return refine
