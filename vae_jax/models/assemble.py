"""Networks and families, combined into the functions of a VAE."""

from collections.abc import Callable
from typing import Any

import jax

from vae_jax.distributions import Distribution
from vae_jax.models.likelihoods import Head
from vae_jax.models.networks import Network
from vae_jax.models.networks.mlp import Functions
from vae_jax.models.posterior_head import PosteriorHead
from vae_jax.models.priors import PriorHead
from vae_jax.models.quick_jit import quick_jit
from vae_jax.models.vae import VAE, SizeFactorVAE
from vae_jax.types import Array, Key, Params


def make_decoder(
  network: Network, options: dict[str, Any], likelihood: Head, size: int
) -> Functions:
  """Makes the decoder of a likelihood, from vectors of a size."""
  return network.make_decoder(
    likelihood.output_shape,
    latent_dim=size,
    output_bias=likelihood.output_bias,
    **options,
  )


def assemble(
  network: Network,
  *,
  options: dict[str, Any],
  posterior: PosteriorHead,
  prior: PriorHead,
  likelihood: Head,
  data_shape: tuple[int, ...],
  latent_dim: int,
) -> VAE | SizeFactorVAE:
  """Combines networks and families into the functions of a VAE.

  Args:
    network: architecture, a row of `NETWORKS`.
    options: options of the architecture.
    posterior: family of q(z|x).
    prior: family of p(z).
    likelihood: family of p(x|z).
    data_shape: shape of one x.
    latent_dim: size of z.
  """
  init_encoder, apply_encoder = network.make_encoder(
    data_shape, outputs=posterior.outputs, **options
  )
  init_decoder, apply_decoder = make_decoder(
    network, options, likelihood, posterior.num_features or latent_dim
  )

  def init(key: Key) -> Params:
    encoder_key, decoder_key, family_key = jax.random.split(key, 3)
    q_key, x_key, z_key = jax.random.split(family_key, 3)
    params = {
      'encoder': init_encoder(encoder_key) | posterior.init(q_key),
      'decoder': init_decoder(decoder_key) | likelihood.init(x_key),
    }
    learned = prior.init(z_key)
    return params | ({'prior': learned} if learned else {})

  def encode(params: Params, x: Array) -> Distribution:
    seen = _on_first(likelihood.encoder_input, x)
    outputs = apply_encoder(params['encoder'], seen)
    return posterior.make(params['encoder'], outputs)

  def decode(params: Params, z: Array, *size: Array) -> Distribution:
    h = _on_first(posterior.features, z) if posterior.features else z
    output = apply_decoder(params['decoder'], h)
    return likelihood.make(params['decoder'], output, *size)

  def make_prior(params: Params) -> Distribution:
    return prior.make(params.get('prior', {}), lambda x: encode(params, x))

  # One program, and not one for each operation.
  functions = quick_jit(init), encode, decode, make_prior
  if likelihood.size is not None:
    return SizeFactorVAE(*functions, likelihood.size)
  return VAE(*functions)


def _on_first(function: Callable[[Any], Array], value: Any) -> Any:
  """Applies a function to x or z, also in a pair with the code of y."""
  if isinstance(value, tuple):
    first, code = value
    return function(first), code
  return function(value)
