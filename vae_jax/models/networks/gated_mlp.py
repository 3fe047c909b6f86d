"""Multilayer perceptrons of gated layers."""

from collections.abc import Mapping, Sequence

import jax

from vae_jax.models.networks import mlp
from vae_jax.types import Array, ArrayLike


def _gated(size: int, x: Array) -> Array:
  """Returns (W x + b) * sigmoid(V x + c), `[size]`, inside a Flax module."""
  return mlp.dense(size)(x) * jax.nn.sigmoid(mlp.dense(size)(x))


def make_encoder(
  data_shape: tuple[int, ...],
  *,
  hidden_sizes: Sequence[int],
  outputs: Mapping[str, tuple[int, ...]],
) -> mlp.Functions:
  """Builds the encoder of gated layers h = (W x + b) * sigmoid(V x + c).

  The gate is the nonlinearity: a gated layer takes no activation.

  Args:
    data_shape: shape of one x.
    hidden_sizes: units per hidden layer; empty for a linear map.
    outputs: name -> shape of each output.

  Returns:
    `init(key) -> params` and `apply(params, x) -> {name: array}`.

  References:
    Dauphin et al. 2017, Language Modeling with Gated Convolutional Networks,
    eq. (1); Tomczak and Welling 2018, VAE with a VampPrior, section 4.2.
  """
  return mlp.encoder(data_shape, hidden_sizes, outputs, _gated)


def make_decoder(
  data_shape: tuple[int, ...],
  *,
  hidden_sizes: Sequence[int],
  latent_dim: int,
  output_bias: ArrayLike = 0.0,
) -> mlp.Functions:
  """Builds the decoder of gated layers; the output is a linear map of them.

  Args:
    data_shape: shape of the output.
    hidden_sizes: units per hidden layer of the encoder, mirrored here; empty
      for a linear map.
    latent_dim: size of z.
    output_bias: initial bias of the output, a number or of `data_shape`.

  Returns:
    `init(key) -> params` and `apply(params, z) -> output`.
  """
  return mlp.decoder(data_shape, hidden_sizes, latent_dim, output_bias, _gated)
