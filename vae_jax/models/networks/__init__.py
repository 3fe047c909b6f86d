"""Tables of networks and activations."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.models.networks import conv, gated_mlp, mlp, resnet
from vae_jax.models.networks.joined import CHANNELS, FLAT, Join
from vae_jax.types import Array

__all__ = ('ACTIVATIONS', 'NETWORKS', 'Network')


class Network(NamedTuple):
  """A row of `NETWORKS`: an architecture of encoder and decoder.

  Attributes:
    words: the architecture in a sentence.
    make_encoder: x -> named outputs; arguments as `mlp.make_encoder`.
    make_decoder: z -> output; arguments as `mlp.make_decoder`.
    options: the options of `make_vae` that both read.
    join: the way in which the encoder takes the code of a condition beside x:
      `joined.FLAT` for vectors, `joined.CHANNELS` for images.
  """

  words: str
  make_encoder: Callable[..., mlp.Functions]
  make_decoder: Callable[..., mlp.Functions]
  options: tuple[str, ...] = ('hidden_sizes', 'activation')
  join: Join = FLAT


NETWORKS = {
  'mlp': Network('multilayer perceptron', mlp.make_encoder, mlp.make_decoder),
  'gated_mlp': Network(
    'multilayer perceptron of gated layers',
    gated_mlp.make_encoder,
    gated_mlp.make_decoder,
    options=('hidden_sizes',),
  ),
  'conv': Network(
    'strided convolutions',
    conv.make_encoder,
    conv.make_decoder,
    options=('channels', 'activation'),
    join=CHANNELS,
  ),
  'resnet': Network(
    'strided convolutions and residual blocks',
    resnet.make_encoder,
    resnet.make_decoder,
    options=('channels', 'num_blocks', 'activation'),
    join=CHANNELS,
  ),
}

ACTIVATIONS: dict[str, Callable[[Any], Array]] = {
  'elu': jax.nn.elu,
  'gelu': jax.nn.gelu,
  'relu': jax.nn.relu,
  'silu': jax.nn.silu,
  'softplus': jax.nn.softplus,
  'tanh': jnp.tanh,
}
