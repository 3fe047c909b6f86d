"""The layers of a hierarchical VAE: blocks of a network and a family."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from vae_jax.distributions import Distribution
from vae_jax.models.networks import Network, mlp
from vae_jax.models.posterior_head import Outputs, PosteriorHead
from vae_jax.types import Array, Key, Params

# Outputs of an encoder that a layer combines or draws from.
LOCATION_SCALE = frozenset({'loc', 'log_scale'})
# Keyword arguments of `make_architecture`, options of `make_vae`.
LAYERS = ('latent_dims', 'layer_hidden_sizes', 'activation')
# Named arrays: outputs of a network, or latents.
Named = Mapping[str, Array]


class Block(NamedTuple):
  """A network and the family that its outputs parameterise.

  Attributes:
    init: `init(key) -> params`.
    outputs: `outputs(params, input) -> named outputs` of the network.
    make: `make(params, outputs) -> Distribution`.
  """

  init: Callable[[Key], Params]
  outputs: Callable[[Params, Array], Named]
  make: Callable[[Params, Named], Distribution]


class Architecture(NamedTuple):
  """The layers of a hierarchy, from the data to the top.

  Attributes:
    names: names of the latents, 'z1' and so on.
    latent_dims: sizes of the latents.
    heads: family of q(z_i|...), and of p(z_i|z_(i+1)) of all but the top.
    encoder: outputs -> (init, apply) of the network that reads x.
    hidden_sizes: units of the deterministic layers between two latents, from
      the data to the top.
    activation: nonlinearity.
  """

  names: tuple[str, ...]
  latent_dims: tuple[int, ...]
  heads: tuple[PosteriorHead, ...]
  encoder: Callable[[Outputs], mlp.Functions]
  hidden_sizes: tuple[int, ...]
  activation: Callable[[Array], Array]

  def between(
    self, size: int, hidden_sizes: tuple[int, ...], outputs: Outputs
  ) -> mlp.Functions:
    """Returns the multilayer perceptron between two latents."""
    return mlp.make_encoder(
      (size,),
      hidden_sizes=hidden_sizes,
      outputs=outputs,
      activation=self.activation,
    )


def make_architecture(
  network: Network,
  options: Mapping[str, Any],
  head: Callable[[int], PosteriorHead],
  data_shape: tuple[int, ...],
  *,
  latent_dims: tuple[int, ...],
  layer_hidden_sizes: tuple[int, ...],
  activation: Callable[[Array], Array],
) -> Architecture:
  """Returns the layers of a hierarchy.

  Args:
    network: row of the network that reads x.
    options: its options.
    head: size of z -> family of a layer.
    data_shape: shape of one x.
    latent_dims: sizes of the latents, from the data to the top.
    layer_hidden_sizes: units of the deterministic layers between two latents.
    activation: nonlinearity of those layers.

  Raises:
    ValueError: fewer than two layers, or a family without loc and log_scale.
  """
  if len(latent_dims) < 2:
    raise ValueError(
      f'latent_dims: got {latent_dims}, expected two or more layers. Use '
      'latent_dim for one'
    )
  heads = tuple(map(head, latent_dims))
  if heads[0].outputs.keys() != LOCATION_SCALE:
    raise ValueError(
      'posterior: got a family of another form, expected one with a loc and a '
      'log_scale for each latent layer'
    )
  encoder = lambda outputs: network.make_encoder(
    data_shape, outputs=outputs, **options
  )
  names = tuple(f'z{i + 1}' for i in range(len(latent_dims)))
  return Architecture(
    names, latent_dims, heads, encoder, tuple(layer_hidden_sizes), activation
  )


def make_block(network: mlp.Functions, head: PosteriorHead) -> Block:
  """Combines `(init, apply)` of a network with a family.

  Its params are `{'network': ...}`, and 'family' where that learns too.
  """
  init_network, apply = network

  def init(key: Key) -> Params:
    network_key, family_key = jax.random.split(key)
    family = head.init(family_key)
    params = {'network': init_network(network_key)}
    return params | ({'family': family} if family else {})

  return Block(
    init,
    lambda params, x: apply(params['network'], x),
    lambda params, outputs: head.make(params.get('family', {}), outputs),
  )


def init_all(key: Key, blocks: Mapping[str, Block]) -> Params:
  """Returns the initial params of each block by name."""
  keys = jax.random.split(key, len(blocks))
  return {
    name: block.init(key)
    for key, (name, block) in zip(keys, blocks.items(), strict=True)
  }


def given(block: Block, parent: str) -> Callable[[Any, Named], Distribution]:
  """Returns the function of a `Conditional` on one earlier latent."""

  def function(params: Params, z: Named) -> Distribution:
    return block.make(params, block.outputs(params, z[parent]))

  return function
