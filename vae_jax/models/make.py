"""The VAE built from names in the tables of families and networks."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from vae_jax.distributions import Distribution
from vae_jax.errors import lookup
from vae_jax.models.likelihoods import LIKELIHOODS, Head
from vae_jax.models.make_conditional import Model, make_kind
from vae_jax.models.missing import shape_with_mask
from vae_jax.models.networks import ACTIVATIONS, NETWORKS, Network
from vae_jax.models.options import options_of
from vae_jax.models.posteriors import POSTERIORS, PosteriorHead
from vae_jax.models.priors import PRIORS, PriorHead
from vae_jax.models.quick_jit import quick_jit
from vae_jax.models.vae import VAE
from vae_jax.types import Array, Key, Params

# Arguments of `make_vae` on the data, which no config has.
_FACTS = (
  *('data_mean', 'data_scale', 'num_classes', 'num_covariates'),
  *('classifier', 'missing'),
)


def make_vae(
  config: Any = None,
  data_shape: tuple[int, ...] | None = None,
  *,
  data_mean: np.ndarray | None = None,
  data_scale: float = 1.0,
  num_classes: int = 0,
  num_covariates: int = 0,
  condition_prior: bool = False,
  classifier: bool = False,
  missing: bool = False,
  latent_dim: int = 10,
  network: str = 'mlp',
  hidden_sizes: tuple[int, ...] = (200, 200),
  activation: str = 'tanh',
  posterior: str = 'normal',
  prior: str = 'normal',
  likelihood: str = 'bernoulli',
  sigma: float = 0.1,
) -> Model:
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
    num_classes: number of classes of a condition y, an integer; 0 for none.
    num_covariates: size of a condition y of real numbers; 0 for none.
    condition_prior: whether p(z|y) is learned: the family of `prior`, its
      parameters affine in y; otherwise p(z|y) = p(z).
    classifier: whether there is a classifier q(y|x), a second network.
    missing: whether x is partly observed, with a mask: a `MissingVAE`.
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
    more entry of the encoder's or decoder's dict. A `ConditionalVAE` where y
    has classes or covariates, and a `SemiSupervisedVAE` with a classifier.

  Raises:
    ValueError: a name that its table does not have, a learned p(z|y) without
      y or of a family other than `CONDITIONAL_PRIORS`, or a classifier
      without classes or with missing data.
    TypeError: no `data_shape`.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, appendix C;
    Burda, Grosse and Salakhutdinov 2015, section 5 (the initial bias).
  """
  given = dict(locals())  # Every argument by its name.
  if data_shape is None:
    raise TypeError('make_vae: data_shape is missing: give the shape of one x')
  if config is not None:
    options = options_of(make_vae, getattr(config, 'model', config))
    facts = {name: given[name] for name in _FACTS}
    return make_vae(None, data_shape, **(facts | options))
  return _build(given)


def _build(arguments: Mapping[str, Any]) -> Model:
  """Builds the model of the arguments of `make_vae`, by name."""
  given = {
    **arguments,
    'hidden_sizes': tuple(arguments['hidden_sizes']),
    'activation': lookup('activation', ACTIVATIONS, arguments['activation']),
  }
  read = lambda names: {name: given[name] for name in names}
  z_row = lookup('prior', PRIORS, given['prior'])
  q_row = lookup('posterior', POSTERIORS, given['posterior'])
  x_row = lookup('likelihood', LIKELIHOODS, given['likelihood'])
  row = lookup('network', NETWORKS, given['network'])
  x_options = read(x_row.options + x_row.statistics)
  size, shape = given['latent_dim'], given['data_shape']
  assemble = functools.partial(
    _assemble,
    options=read(row.options),
    posterior=q_row.head(size, **read(q_row.options)),
    prior=z_row.head(size, **read(z_row.options + z_row.statistics)),
    likelihood=x_row.head(shape, given['data_mean'], **x_options),
    data_shape=shape_with_mask(shape) if given['missing'] else shape,
    latent_dim=size,
  )
  return make_kind(assemble, row, read(row.options), given)


def _assemble(
  network: Network,
  *,
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
    outputs = apply_encoder(params['encoder'], x)
    return posterior.make(params['encoder'], outputs)

  def decode(params: Params, z: Array) -> Distribution:
    output = apply_decoder(params['decoder'], z)
    return likelihood.make(params['decoder'], output)

  def make_prior(params: Params) -> Distribution:
    return prior.make(params.get('prior', {}), lambda x: encode(params, x))

  # One program, and not one for each operation.
  return VAE(quick_jit(init), encode, decode, make_prior)
