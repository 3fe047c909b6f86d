"""The VAE built from names in the tables of families and networks."""

from typing import Any

import jax
import numpy as np

from vae_jax.distributions import Distribution
from vae_jax.errors import lookup
from vae_jax.models.hierarchy import make_hierarchy
from vae_jax.models.layers import LAYERS, make_architecture
from vae_jax.models.likelihoods import LIKELIHOODS, Head
from vae_jax.models.networks import ACTIVATIONS, NETWORKS, Network
from vae_jax.models.networks.mlp import Functions
from vae_jax.models.options import options_of
from vae_jax.models.posteriors import POSTERIORS, PosteriorHead
from vae_jax.models.priors import PRIORS, PriorHead
from vae_jax.models.quick_jit import quick_jit
from vae_jax.models.vae import VAE
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
  activation: str = 'tanh',
  posterior: str = 'normal',
  prior: str = 'normal',
  likelihood: str = 'bernoulli',
  sigma: float = 0.1,
  latent_dims: tuple[int, ...] = (),
  layer_hidden_sizes: tuple[int, ...] = (100, 100),
  inference: str = 'bottom_up',
) -> VAE:
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
    activation: nonlinearity of the hidden layers, a key of `ACTIVATIONS`.
    posterior: family of q(z|x), a key of `POSTERIORS`.
    prior: family of p(z), a key of `PRIORS`.
    likelihood: family of p(x|z), a key of `LIKELIHOODS`.
    sigma: standard deviation of the likelihood 'normal_fixed'.
    latent_dims: sizes of several stochastic layers, from the data to the top;
      z is then a dict of z1, z2, ... and `prior` the family of the top. Empty
      for the single z of `latent_dim`.
    layer_hidden_sizes: units per hidden layer between two of them, in the
      encoder; mirrored in the prior.
    inference: order in which q(z|x) draws them, a key of `INFERENCES`.

  Returns:
    A `VAE` whose params are `{'encoder': ..., 'decoder': ...}`, and 'prior'
    where the prior learns; what a family learns beside the network is one
    more entry of the encoder's or decoder's dict. Of several layers, those of
    `make_hierarchy`.

  Raises:
    ValueError: a name that its table does not have; one layer in
      `latent_dims`, or a posterior without loc and log_scale for several.
    TypeError: no `data_shape`.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, appendix C;
    Burda, Grosse and Salakhutdinov 2015, section 5 (the initial bias).
  """
  if data_shape is None:
    raise TypeError('make_vae: data_shape is missing: give the shape of one x')
  if config is not None:
    options = options_of(make_vae, getattr(config, 'model', config))
    options |= {'data_mean': data_mean, 'data_scale': data_scale}
    return make_vae(None, data_shape, **options)
  given: dict[str, Any] = {
    'sigma': sigma,
    'data_scale': data_scale,
    'hidden_sizes': tuple(hidden_sizes),
    'latent_dims': tuple(latent_dims),
    'layer_hidden_sizes': tuple(layer_hidden_sizes),
    'activation': lookup('activation', ACTIVATIONS, activation),
  }
  read = lambda names: {name: given[name] for name in names}
  z_row = lookup('prior', PRIORS, prior)
  q_row = lookup('posterior', POSTERIORS, posterior)
  x_row = lookup('likelihood', LIKELIHOODS, likelihood)
  row = lookup('network', NETWORKS, network)
  x_options, options = read(x_row.options + x_row.statistics), read(row.options)
  make_q = lambda size: q_row.head(size, **read(q_row.options))
  top = latent_dims[-1] if latent_dims else latent_dim
  p_head = z_row.head(top, **read(z_row.options + z_row.statistics))
  x_head = x_row.head(data_shape, data_mean, **x_options)
  if not latent_dims:
    heads = make_q(latent_dim), p_head, x_head
    return _assemble(row, options, *heads, data_shape, latent_dim)
  decoder = _make_decoder(row, options, x_head, latent_dims[0])
  layers = make_architecture(row, options, make_q, data_shape, **read(LAYERS))
  return make_hierarchy(layers, inference, p_head, x_head, decoder)


def _make_decoder(
  network: Network, options: dict[str, Any], likelihood: Head, latent_dim: int
) -> Functions:
  return network.make_decoder(
    likelihood.output_shape,
    latent_dim=latent_dim,
    output_bias=likelihood.output_bias,
    **options,
  )


def _assemble(
  network: Network,
  options: dict[str, Any],
  posterior: PosteriorHead,
  prior: PriorHead,
  likelihood: Head,
  data_shape: tuple[int, ...],
  latent_dim: int,
) -> VAE:
  """Combines networks and families into the four functions of a VAE."""
  init_encoder, apply_encoder = network.make_encoder(
    data_shape, outputs=posterior.outputs, **options
  )
  init_decoder, apply_decoder = _make_decoder(
    network, options, likelihood, latent_dim
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
    outputs = apply_encoder(params['encoder'], x)
    return posterior.make(params['encoder'], outputs)

  def decode(params: Params, z: Array) -> Distribution:
    output = apply_decoder(params['decoder'], z)
    return likelihood.make(params['decoder'], output)

  def make_prior(params: Params) -> Distribution:
    return prior.make(params.get('prior', {}), lambda x: encode(params, x))

  # One program, and not one for each operation.
  return VAE(quick_jit(init), encode, decode, make_prior)
