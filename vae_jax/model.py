"""A variational autoencoder as a tuple of pure functions."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from vae_jax import latents, networks
from vae_jax.config import Config
from vae_jax.distributions import Distribution
from vae_jax.likelihoods import make_likelihood
from vae_jax.types import Array, Key, Params


class VAE(NamedTuple):
  """p(x|z) p(z) and q(z|x), for one example; any functions will do.

  Attributes:
    init: `init(key) -> params`, any pytree.
    encode: `encode(params, x) -> q(z|x)`.
    decode: `decode(params, z) -> p(x|z)`.
    prior: `prior(params) -> p(z)`.
  """

  init: Callable[[Key], Params]
  encode: Callable[[Params, Array], Distribution]
  decode: Callable[[Params, Array], Distribution]
  prior: Callable[[Params], Distribution]


def make_vae(
  config: Config,
  data_shape: tuple[int, ...],
  *,
  data_mean: np.ndarray | None = None,
) -> VAE:
  """Builds the VAE that the flags describe.

  q(z|x) by `latents.POSTERIORS`, its parameters of the encoder network; p(z)
  by `latents.PRIORS`; p(x|z) by `likelihoods`, of the decoder's output.

  Args:
    config: sizes, activation and families.
    data_shape: the shape of one x.
    data_mean: mean training example, of `data_shape`, a pixel in [0, 1]: the
      decoder's bias starts where p(x|z) has that mean, or near it (worth
      about 1 nat on MNIST). None is no such hint.

  Returns:
    A `VAE` whose params are `{'encoder': ..., 'decoder': ...}`; what the
    likelihood learns beside the network is one more entry of the decoder's.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, appendix C;
    Burda, Grosse and Salakhutdinov 2015, section 5 (the bias, in their code).
  """
  activation = networks.ACTIVATIONS[config.activation]
  posterior = latents.POSTERIORS[config.posterior]
  init_encoder, apply_encoder = networks.make_encoder(
    data_shape,
    hidden_sizes=config.hidden_sizes,
    outputs=posterior.outputs(config.latent_dim),
    activation=activation,
  )
  likelihood = make_likelihood(config, data_shape, data_mean)
  init_decoder, apply_decoder = networks.make_decoder(
    likelihood.output_shape,
    hidden_sizes=config.hidden_sizes[::-1],
    latent_dim=config.latent_dim,
    activation=activation,
    output_bias=likelihood.output_bias,
  )

  def init(key: Key) -> Params:
    encoder_key, decoder_key = jax.random.split(key)
    return {
      'encoder': init_encoder(encoder_key),
      'decoder': init_decoder(decoder_key) | likelihood.init(),
    }

  def encode(params: Params, x: Array) -> Distribution:
    return posterior.make(**apply_encoder(params['encoder'], x))

  def decode(params: Params, z: Array) -> Distribution:
    output = apply_decoder(params['decoder'], z)
    return likelihood.distribution(params['decoder'], output)

  def prior(params: Params) -> Distribution:
    del params  # It learns nothing.
    return latents.PRIORS[config.prior](config.latent_dim)

  return VAE(init, encode, decode, prior)
