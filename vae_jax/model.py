"""A variational autoencoder as a tuple of pure functions."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from vae_jax import latents, networks
from vae_jax.config import Config
from vae_jax.distributions import Bernoulli, Distribution
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
  pixel_mean: np.ndarray | None = None,
) -> VAE:
  """Builds the VAE that the flags describe.

  q(z|x) by `latents.POSTERIORS`, its parameters of the encoder network; p(z)
  by `latents.PRIORS`; p(x|z) = Bernoulli(logits(z)).

  Args:
    config: sizes, activation and families.
    data_shape: the shape of one x.
    pixel_mean: mean training pixel in [0, 1], of `data_shape`: the decoder's
      bias starts at its logit (worth about 1 nat on MNIST). None starts at 0.

  Returns:
    A `VAE` whose params are `{'encoder': ..., 'decoder': ...}`.

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
  init_decoder, apply_decoder = networks.make_decoder(
    data_shape,
    hidden_sizes=config.hidden_sizes[::-1],
    latent_dim=config.latent_dim,
    activation=activation,
    output_bias=0.0 if pixel_mean is None else _logit(pixel_mean),
  )

  def init(key: Key) -> Params:
    encoder_key, decoder_key = jax.random.split(key)
    return {
      'encoder': init_encoder(encoder_key),
      'decoder': init_decoder(decoder_key),
    }

  def encode(params: Params, x: Array) -> Distribution:
    return posterior.make(**apply_encoder(params['encoder'], x))

  def decode(params: Params, z: Array) -> Bernoulli:
    return Bernoulli(apply_decoder(params['decoder'], z))

  def prior(params: Params) -> Distribution:
    del params  # It learns nothing.
    return latents.PRIORS[config.prior](config.latent_dim)

  return VAE(init, encode, decode, prior)


def _logit(mean: np.ndarray) -> np.ndarray:
  # A pixel that is always off would start at -inf and never learn.
  mean = np.clip(mean, 0.001, 0.999)
  return np.log(mean) - np.log1p(-mean)
