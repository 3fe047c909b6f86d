"""Hierarchical VAEs: several stochastic layers, bottom-up or ladder inference.

z1 is the layer next to the data and the last one the top:

  p(x, z) = p(x|z1) p(z1|z2) p(z2), q(z|x) = q(z1|x) q(z2|z1) bottom-up, or
  q(z|x) = q(z2|x) q(z1|z2, x) top-down.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.distributions import Chain, Conditional, Distribution
from vae_jax.errors import lookup
from vae_jax.models.layers import (
  Architecture,
  Block,
  Named,
  given,
  init_all,
  make_block,
)
from vae_jax.models.likelihoods import Head
from vae_jax.models.networks import mlp
from vae_jax.models.priors import PriorHead
from vae_jax.models.quick_jit import quick_jit
from vae_jax.models.straight_through import clip_straight_through
from vae_jax.models.vae import VAE
from vae_jax.types import Array, Key, Latent, Params

# Output of a top-down encoder's block from which the next block continues.
_NEXT = 'next'


# (params of the whole model, x) -> q(z|x)
Encode = Callable[[Params, Array], Chain]
# (architecture, generative blocks by name) -> blocks of the encoder, encode
MakeEncoder = Callable[
  [Architecture, Mapping[str, Block]], tuple[dict[str, Block], Encode]
]


class InferenceOrder(NamedTuple):
  """A row of `INFERENCES`: the order in which q(z|x) draws the layers.

  Attributes:
    words: number of layers -> the factors of q(z|x) as a formula.
    make: makes the encoder.
  """

  words: Callable[[int], str]
  make: MakeEncoder


def make_hierarchy(
  architecture: Architecture,
  inference: str,
  prior: PriorHead,
  likelihood: Head,
  decoder: mlp.Functions,
) -> VAE:
  """Builds a VAE over a dict of latents, `{'z1': ..., 'z2': ...}`.

  Args:
    architecture: the layers.
    inference: key of `INFERENCES`.
    prior: family of p(z) of the top layer.
    likelihood: family of p(x|z1).
    decoder: `(init, apply)`, z1 -> its output.

  Returns:
    A `VAE` whose posterior and prior are each a `Chain`. Its params are
    `{'encoder': ..., 'decoder': ..., 'prior': ...}`, the first and last by
    layer.

  References:
    Burda, Grosse and Salakhutdinov 2015, Importance Weighted Autoencoders,
    section 5, for bottom-up; Sonderby et al. 2016, Ladder Variational
    Autoencoders, eq. (18), (19), for top-down.
  """
  names, top = architecture.names, architecture.names[-1]
  blocks = _generative(architecture)
  parents = dict(itertools.pairwise(names))
  # `jit` compares the functions of a Conditional by identity: made once.
  functions = {name: given(blocks[name], parents[name]) for name in blocks}
  order = lookup('inference', INFERENCES, inference)
  own, encode_seen = order.make(architecture, blocks)
  init_decoder, apply_decoder = decoder

  def init(key: Key) -> Params:
    encoder_key, decoder_key, x_key, z_key, top_key = jax.random.split(key, 5)
    learned = prior.init(top_key)
    above = {top: learned} if learned else {}
    return {
      'encoder': init_all(encoder_key, own),
      'decoder': init_decoder(decoder_key) | likelihood.init(x_key),
      'prior': init_all(z_key, blocks) | above,
    }

  def encode(params: Params, x: Array) -> Distribution:
    return encode_seen(params, likelihood.encoder_input(x))

  def decode(params: Params, z: Latent) -> Distribution:
    output = apply_decoder(params['decoder'], z[names[0]])
    return likelihood.make(params['decoder'], output)

  def make_prior(params: Params) -> Chain:
    own = params['prior']
    below = {n: Conditional(functions[n], own[n]) for n in names[-2::-1]}
    return _chain({top: prior.make(own.get(top, {}), _no_marginal), **below})

  return VAE(quick_jit(init), encode, decode, make_prior)


def _chain(parts: Mapping[str, Any]) -> Chain:
  return Chain(**parts)


def _no_marginal(x: Array) -> Distribution:
  del x
  raise TypeError(
    'a prior that contains q(z|x) needs its density at the top layer alone, '
    'which a hierarchy does not have'
  )


def _generative(architecture: Architecture) -> dict[str, Block]:
  """Makes p(z_i|z_(i+1)), mirrored, of every layer but the top."""
  a, blocks = architecture, {}
  mirrored = a.hidden_sizes[::-1]
  for i, name in enumerate(a.names[:-1]):
    network = a.between(a.latent_dims[i + 1], mirrored, a.heads[i].outputs)
    blocks[name] = make_block(network, a.heads[i])
  return blocks


def _bottom_up(
  architecture: Architecture, generative: Mapping[str, Block]
) -> tuple[dict[str, Block], Encode]:
  """Makes q(z1|x) q(z2|z1) ..."""
  del generative
  a = architecture
  first, *others = a.names
  blocks = {first: make_block(a.encoder(a.heads[0].outputs), a.heads[0])}
  functions = {}
  for i, name in enumerate(others):
    head = a.heads[i + 1]
    network = a.between(a.latent_dims[i], a.hidden_sizes, head.outputs)
    blocks[name] = make_block(network, head)
    functions[name] = given(blocks[name], a.names[i])

  def encode(params: Params, x: Array) -> Chain:
    own = params['encoder']
    q = blocks[first].make(own[first], blocks[first].outputs(own[first], x))
    above = {n: Conditional(f, own[n]) for n, f in functions.items()}
    return _chain({first: q, **above})

  return blocks, encode


def _top_down(
  architecture: Architecture, generative: Mapping[str, Block]
) -> tuple[dict[str, Block], Encode]:
  """Makes q(z2|x) q(z1|z2, x) ..., the ladder VAE, without batch norm.

  A deterministic pass from x to the top gives loc and log_scale of each layer.
  Below the top they are combined with those of p(z_i|z_(i+1)), whose network
  q and p share.
  """
  a = architecture
  names, top = a.names, a.names[-1]
  blocks = _deterministic(architecture)
  parents = dict(itertools.pairwise(names))

  def combined(name: str) -> Callable[[Any, Named], Distribution]:
    def function(params: Params, z: Named) -> Distribution:
      above = generative[name].outputs(params['prior'], z[parents[name]])
      outputs = precision_weighted(params['outputs'], above)
      return blocks[name].make(params['own'], outputs)

    return function

  functions = {name: combined(name) for name in names[:-1]}

  def encode(params: Params, x: Array) -> Chain:
    own, outputs = params['encoder'], {}
    h: Any = x
    for name in names:
      found: dict[str, Any] = dict(blocks[name].outputs(own[name], h))
      h = found.pop(_NEXT, None)
      # The features are the first hidden layer of the next block.
      h = a.activation(h) if a.hidden_sizes and h is not None else h
      outputs[name] = found
    family = lambda name: {k: v for k, v in own[name].items() if k == 'family'}
    below = {
      name: Conditional(
        functions[name],
        {
          'own': family(name),
          'outputs': outputs[name],
          'prior': params['prior'][name],
        },
      )
      for name in names[-2::-1]
    }
    return _chain({top: blocks[top].make(own[top], outputs[top]), **below})

  return blocks, encode


def _deterministic(architecture: Architecture) -> dict[str, Block]:
  """Makes the blocks of the pass from x to the top."""
  a, blocks = architecture, {}
  for i, (name, head) in enumerate(zip(a.names, a.heads, strict=True)):
    # Features before the activation; without hidden layers a linear map.
    width = a.hidden_sizes[0] if a.hidden_sizes else a.latent_dims[i]
    more = {} if name == a.names[-1] else {_NEXT: (width,)}
    outputs = head.outputs | more
    if not i:
      network = a.encoder(outputs)
    else:
      size = a.hidden_sizes[0] if a.hidden_sizes else a.latent_dims[i - 1]
      network = a.between(size, a.hidden_sizes[1:], outputs)
    blocks[name] = make_block(network, head)
  return blocks


def precision_weighted(a: Named, b: Named) -> dict[str, Array]:
  """Returns loc and log_scale of the product of two normal densities.

  sigma^-2 = sigma_a^-2 + sigma_b^-2, loc = sigma^2 (loc_a sigma_a^-2 + loc_b
  sigma_b^-2), from log-scales.

  References:
    Sonderby et al. 2016, Ladder Variational Autoencoders, eq. (18), (19).
  """
  scale_a, scale_b = (clip_straight_through(x['log_scale']) for x in (a, b))
  share = jax.nn.sigmoid(2 * (scale_b - scale_a))
  return {
    'loc': b['loc'] + share * (a['loc'] - b['loc']),
    'log_scale': -0.5 * jnp.logaddexp(-2 * scale_a, -2 * scale_b),
  }


def _words_bottom_up(count: int) -> str:
  above = ' '.join(f'q(z{i + 1}|z{i})' for i in range(1, count))
  return f'q(z|x) = q(z1|x) {above}'


def _words_top_down(count: int) -> str:
  below = ' '.join(f'q(z{i}|z{i + 1}, x)' for i in range(count - 1, 0, -1))
  return f'q(z|x) = q(z{count}|x) {below}'


INFERENCES = {
  'bottom_up': InferenceOrder(_words_bottom_up, _bottom_up),
  'top_down': InferenceOrder(_words_top_down, _top_down),
}
