"""The VAE built from names in the tables of families and networks."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from vae_jax.distributions import Distribution
from vae_jax.errors import lookup
from vae_jax.models.likelihoods import LIKELIHOODS, Head
from vae_jax.models.networks import ACTIVATIONS, NETWORKS, Network
from vae_jax.models.options import options_of
from vae_jax.models.posteriors import POSTERIORS, Posterior
from vae_jax.models.priors import PRIORS, Prior
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

  Returns:
    A `VAE` whose params are `{'encoder': ..., 'decoder': ...}`, and 'prior'
    where the prior learns; what a family learns beside the network is one
    more entry of the encoder's or decoder's dict.

  Raises:
    ValueError: a name that its table does not have.
    TypeError: no `data_shape`.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, appendix C;
    Burda, Grosse and Salakhutdinov 2015, section 5 (the initial bias).
  """
  if data_shape is None:
    raise TypeError('make_vae: data_shape is missing: give the shape of one x')
  if config is not None:
    options = options_of(make_vae, getattr(config, 'model', config))
    return make_vae(
      data_shape=data_shape,
      data_mean=data_mean,
      data_scale=data_scale,
      **options,
    )
  given = {'sigma': sigma, 'data_scale': data_scale}
  x_row = lookup('likelihood', LIKELIHOODS, likelihood)
  options = {name: given[name] for name in x_row.options + x_row.statistics}
  return _assemble(
    lookup('network', NETWORKS, network),
    lookup('posterior', POSTERIORS, posterior),
    lookup('prior', PRIORS, prior),
    x_row.head(data_shape, data_mean, **options),
    data_shape=data_shape,
    latent_dim=latent_dim,
    hidden_sizes=tuple(hidden_sizes),
    activation=lookup('activation', ACTIVATIONS, activation),
  )


def _assemble(
  network: Network,
  posterior: Posterior,
  prior: Prior,
  head: Head,
  *,
  data_shape: tuple[int, ...],
  latent_dim: int,
  hidden_sizes: tuple[int, ...],
  activation: Callable[[Array], Array],
) -> VAE:
  """Combines networks and families into the four functions of a VAE."""
  init_encoder, apply_encoder = network.make_encoder(
    data_shape,
    hidden_sizes=hidden_sizes,
    outputs=posterior.outputs(latent_dim),
    activation=activation,
  )
  init_decoder, apply_decoder = network.make_decoder(
    head.output_shape,
    hidden_sizes=hidden_sizes[::-1],
    latent_dim=latent_dim,
    activation=activation,
    output_bias=head.output_bias,
  )

  def init(key: Key) -> Params:
    encoder_key, decoder_key, family_key = jax.random.split(key, 3)
    q_key, x_key, z_key = jax.random.split(family_key, 3)
    params = {
      'encoder': init_encoder(encoder_key) | posterior.init(q_key),
      'decoder': init_decoder(decoder_key) | head.init(x_key),
    }
    learned = prior.init(z_key, latent_dim)
    return params | ({'prior': learned} if learned else {})

  def encode(params: Params, x: Array) -> Distribution:
    outputs = apply_encoder(params['encoder'], x)
    return posterior.make(params['encoder'], outputs)

  def decode(params: Params, z: Array) -> Distribution:
    output = apply_decoder(params['decoder'], z)
    return head.make(params['decoder'], output)

  def make_prior(params: Params) -> Distribution:
    return prior.make(params.get('prior', {}), latent_dim)

  # One program, and not one for each operation.
  return VAE(quick_jit(init), encode, decode, make_prior)
