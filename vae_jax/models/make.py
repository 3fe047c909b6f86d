"""The VAE built from names in the tables of families and networks."""

from typing import Any

import jax
import numpy as np

from vae_jax.distributions import Distribution
from vae_jax.errors import lookup
from vae_jax.models.likelihoods import LIKELIHOODS, Head
from vae_jax.models.networks import ACTIVATIONS, NETWORKS, Network
from vae_jax.models.options import options_of
from vae_jax.models.posteriors import POSTERIORS, PosteriorHead
from vae_jax.models.priors import PRIORS, PriorHead
from vae_jax.models.quick_jit import quick_jit
from vae_jax.models.vae import VAE, SizeFactorVAE
from vae_jax.types import Array, Key, Params


def make_vae(
  config: Any = None,
  data_shape: tuple[int, ...] | None = None,
  *,
  data_mean: np.ndarray | None = None,
  data_scale: float = 1.0,
  latent_dim: int = 10,
  network: str = 'mlp',
  hidden_sizes: tuple[int, ...] = (200, 200),
  channels: tuple[int, ...] = (32, 64),
  num_blocks: int = 1,
  activation: str = 'tanh',
  posterior: str = 'normal',
  prior: str = 'normal',
  likelihood: str = 'bernoulli',
  sigma: float = 0.1,
  num_mixtures: int = 5,
  size_factor: str = 'none',
) -> VAE | SizeFactorVAE:
  """Builds a VAE from the tables of families and networks.

  Args:
    config: a run's `Config` or its part `model`, whose fields are the
      keyword arguments below; None to give them here.
    data_shape: shape of one x.
    data_mean: mean training example, of `data_shape`, pixels in [0, 1]: the
      decoder's bias starts where p(x|z) has about that mean (worth about 1
      nat on MNIST). None starts at the family's default.
    data_scale: standard deviation of the training data about that mean, at
      which the sigma of the likelihood 'normal' starts.
    latent_dim: size of z.
    network: architecture, a key of `NETWORKS`.
    hidden_sizes: units per hidden layer of the encoder; mirrored in the
      decoder; empty for linear maps.
    channels: channels of each convolution of stride 2, mirrored in the
      decoder.
    num_blocks: residual blocks after each convolution of stride 2.
    activation: nonlinearity of the hidden layers, a key of `ACTIVATIONS`.
    posterior: family of q(z|x), a key of `POSTERIORS`.
    prior: family of p(z), a key of `PRIORS`.
    likelihood: family of p(x|z), a key of `LIKELIHOODS`.
    sigma: standard deviation of the likelihood 'normal_fixed'.
    num_mixtures: components of the likelihood 'discretised_logistic_mixture'.
    size_factor: scale of the mean of counts: 'none', or 'total' for sum_j x_j
      of the example, observed.

  Returns:
    A `VAE`, with a size factor a `SizeFactorVAE`, whose params are
    `{'encoder': ..., 'decoder': ...}`, and 'prior' where the prior learns; what
    a family learns beside the network is one more entry of the encoder's or
    decoder's dict.

  Raises:
    ValueError: a name that its table does not have.
    UserError: a convolutional network for data that are not images.
    TypeError: no `data_shape`.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, appendix C;
    Burda, Grosse and Salakhutdinov 2015, section 5 (the initial bias).
  """
  if data_shape is None:
    raise TypeError('make_vae: data_shape is missing: give the shape of one x')
  if config is not None:
    options = options_of(make_vae, getattr(config, 'model', config))
    facts: Any = {'data_mean': data_mean, 'data_scale': data_scale}
    return make_vae(data_shape=data_shape, **facts, **options)
  given = {
    'sigma': sigma,
    'data_scale': data_scale,
    'hidden_sizes': tuple(hidden_sizes),
    'channels': tuple(channels),
    'num_blocks': num_blocks,
    'num_mixtures': num_mixtures,
    'size_factor': size_factor,
    'activation': lookup('activation', ACTIVATIONS, activation),
  }
  z_row = lookup('prior', PRIORS, prior)
  q_row = lookup('posterior', POSTERIORS, posterior)
  x_row = lookup('likelihood', LIKELIHOODS, likelihood)
  row = lookup('network', NETWORKS, network)
  return _assemble(
    row,
    {name: given[name] for name in row.options},
    _head(q_row, given, latent_dim),
    _head(z_row, given, latent_dim),
    _head(x_row, given, data_shape, data_mean),
    data_shape=data_shape,
    latent_dim=latent_dim,
  )


def _head(row: Any, given: dict[str, Any], *args: Any) -> Any:
  """Builds the head of a row from the options and statistics it reads."""
  names = (*row.options, *getattr(row, 'statistics', ()))
  return row.head(*args, **{name: given[name] for name in names})


def _assemble(
  network: Network,
  options: dict[str, Any],
  posterior: PosteriorHead,
  prior: PriorHead,
  likelihood: Head,
  *,
  data_shape: tuple[int, ...],
  latent_dim: int,
) -> VAE | SizeFactorVAE:
  """Combines networks and families into the functions of a VAE."""
  init_encoder, apply_encoder = network.make_encoder(
    data_shape, outputs=posterior.outputs, **options
  )
  init_decoder, apply_decoder = network.make_decoder(
    likelihood.output_shape,
    latent_dim=latent_dim,
    output_bias=likelihood.output_bias,
    **options,
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
    seen = likelihood.encoder_input(x)
    outputs = apply_encoder(params['encoder'], seen)
    return posterior.make(params['encoder'], outputs)

  def decode(params: Params, z: Array, *size: Array) -> Distribution:
    output = apply_decoder(params['decoder'], z)
    return likelihood.make(params['decoder'], output, *size)

  def make_prior(params: Params) -> Distribution:
    return prior.make(params.get('prior', {}), lambda x: encode(params, x))

  # One program, and not one for each operation.
  functions = quick_jit(init), encode, decode, make_prior
  if likelihood.size is not None:
    return SizeFactorVAE(*functions, likelihood.size)
  return VAE(*functions)
