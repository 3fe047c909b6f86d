"""The VAE built from names in the tables of families and networks."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from vae_jax.errors import lookup
from vae_jax.models.assemble import assemble, make_decoder
from vae_jax.models.hierarchy import INFERENCES, make_hierarchy
from vae_jax.models.layers import make_architecture
from vae_jax.models.likelihoods import LIKELIHOODS, Head
from vae_jax.models.make_conditional import Model, check_kind, make_kind
from vae_jax.models.missing import beside_mask, shape_with_mask
from vae_jax.models.networks import ACTIVATIONS, NETWORKS, Network
from vae_jax.models.options import options_of
from vae_jax.models.posterior_head import PosteriorHead
from vae_jax.models.posteriors import POSTERIORS
from vae_jax.models.priors import PRIORS, PriorHead
from vae_jax.models.supports import BOUNDS
from vae_jax.models.vae import VAE


def make_vae(
  config: Any = None,
  data_shape: tuple[int, ...] | None = None,
  *,
  data_mean: np.ndarray | None = None,
  data_scale: float = 1.0,
  data_examples: np.ndarray | None = None,
  num_classes: int = 0,
  num_covariates: int = 0,
  condition_prior: bool = False,
  classifier: bool = False,
  missing: bool = False,
  latent_dim: int = 10,
  network: str = 'mlp',
  hidden_sizes: tuple[int, ...] = (200, 200),
  channels: tuple[int, ...] = (32, 64),
  num_blocks: int = 1,
  activation: str = 'tanh',
  posterior: str = 'normal',
  posterior_rank: int = 2,
  posterior_df: float = 5.0,
  num_categories: int = 10,
  posterior_depth: int = 2,
  posterior_width: int = 100,
  prior: str = 'normal',
  num_components: int = 10,
  num_pseudo_inputs: int = 500,
  prior_depth: int = 4,
  prior_width: int = 100,
  likelihood: str = 'bernoulli',
  sigma: float = 0.1,
  num_mixtures: int = 5,
  size_factor: str = 'none',
  latent_dims: tuple[int, ...] = (),
  layer_hidden_sizes: tuple[int, ...] = (100, 100),
  inference: str = 'bottom_up',
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
    data_examples: training examples as the encoder sees them, `[N,
      *data_shape]`, N of `num_pseudo_inputs` or more: the pseudo-inputs of the
      prior 'vamp' start at the first. None starts them at random.
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
    channels: channels of each convolution of stride 2, mirrored in the
      decoder.
    num_blocks: residual blocks after each convolution of stride 2.
    activation: nonlinearity of the hidden layers, a key of `ACTIVATIONS`.
    posterior: family of q(z|x), a key of `POSTERIORS`.
    posterior_rank: columns of the low-rank factor of the posterior
      'low_rank_normal'.
    posterior_df: degrees of freedom of the posterior 'student_t'.
    num_categories: labels per dimension of the posterior and prior
      'categorical', which the decoder sees one-hot.
    posterior_depth: bijections of the posteriors 'iaf' and 'realnvp'.
    posterior_width: units of the hidden layer of each of their networks, and
      size of the context that the encoder gives them.
    prior: family of p(z), a key of `PRIORS`.
    num_components: number of normals in the prior 'mixture'.
    num_pseudo_inputs: number of pseudo-inputs of the prior 'vamp'.
    prior_depth: number of affine couplings of the prior 'realnvp'.
    prior_width: units per hidden layer of each of them.
    likelihood: family of p(x|z), a key of `LIKELIHOODS`.
    sigma: standard deviation of the likelihood 'normal_fixed'.
    num_mixtures: components of the likelihood 'discretised_logistic_mixture'.
    size_factor: scale of the mean of counts: 'none', or 'total' for sum_j x_j
      of the example, observed.
    latent_dims: sizes of several stochastic layers, from the data to the top;
      z is then a dict of z1, z2, ... and `prior` the family of the top. Empty
      for the single z of `latent_dim`.
    layer_hidden_sizes: units per hidden layer between two of them, in the
      encoder; mirrored in the prior.
    inference: order in which q(z|x) draws them, a key of `INFERENCES`.

  Returns:
    A `VAE`, with a size factor a `SizeFactorVAE`, whose params are
    `{'encoder': ..., 'decoder': ...}`, and 'prior' where the prior learns; what
    a family learns beside the network is one more entry of the encoder's or
    decoder's dict. Of several layers, those of `make_hierarchy`. A
    `ConditionalVAE` where y has classes or covariates, and a
    `SemiSupervisedVAE` with a classifier.

  Raises:
    ValueError: a name that its table does not have, or an option that its row
      does not admit; one layer in `latent_dims`, or a posterior without loc
      and log_scale for several; a learned p(z|y) without y or of a family
      other than `CONDITIONAL_PRIORS`; a classifier without classes or with
      missing data; a condition or missing data with a size factor, several
      layers or the prior 'vamp'.
    UserError: fewer `data_examples` than pseudo-inputs, or a convolutional
      network for data that are not images.
    TypeError: no `data_shape`.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, appendix C;
    Burda, Grosse and Salakhutdinov 2015, section 5 (the initial bias).

  Examples:
    >>> vae = vj.make_vae(data_shape=(8, 8), latent_dim=3, hidden_sizes=(16,))
    >>> params = vae.init(jax.random.key(0))
    >>> q = vae.encode(params, jnp.zeros((8, 8)))
    >>> print(q.shape, vae.decode(params, q.mean()).shape)
    (3,) (8, 8)
  """
  # Every argument by its name, by which the rows of the tables read it.
  given = dict(locals())
  if data_shape is None:
    raise TypeError('make_vae: data_shape is missing: give the shape of one x')
  if config is not None:
    given |= options_of(make_vae, getattr(config, 'model', config))
  return _build(given)


def _build(given: dict[str, Any]) -> Model:
  """Builds a model from the arguments of `make_vae`, by name."""
  network = lookup('network', NETWORKS, given['network'])
  z_row = lookup('prior', PRIORS, given['prior'])
  q_row = lookup('posterior', POSTERIORS, given['posterior'])
  x_row = lookup('likelihood', LIKELIHOODS, given['likelihood'])
  data_shape, latent_dims = given['data_shape'], tuple(given['latent_dims'])
  given = given | {
    'latent_dims': latent_dims,
    'hidden_sizes': tuple(given['hidden_sizes']),
    'channels': tuple(given['channels']),
    'activation': lookup('activation', ACTIVATIONS, given['activation']),
    'data_bounds': BOUNDS.get(x_row.support, (-math.inf, math.inf)),
  }
  read = lambda names: {name: given[name] for name in names}
  make_q = lambda size: q_row.head(size, **read(q_row.options))
  top = latent_dims[-1] if latent_dims else given['latent_dim']
  z_head = z_row.head(top, **read(z_row.options + z_row.statistics))
  x_options = read(x_row.options + x_row.statistics)
  x_head = x_row.head(data_shape, given['data_mean'], **x_options)
  if given['missing']:
    seen = beside_mask(x_head.encoder_input)
    data_shape = shape_with_mask(data_shape)
    x_head = x_head._replace(encoder_input=seen)
  check_kind(given)
  options = read(network.options)
  if latent_dims:
    return _build_layers(given, network, options, make_q, z_head, x_head)
  parts = functools.partial(
    assemble,
    options=options,
    posterior=make_q(top),
    prior=z_head,
    likelihood=x_head,
    data_shape=data_shape,
    latent_dim=top,
  )
  return make_kind(parts, network, options, given, x_head.encoder_input)


def _build_layers(
  given: dict[str, Any],
  network: Network,
  options: dict[str, Any],
  make_q: Callable[[int], PosteriorHead],
  prior: PriorHead,
  likelihood: Head,
) -> VAE:
  """Builds a model of several stochastic layers."""
  if likelihood.size is not None:
    raise ValueError(
      f'latent_dims is {given["latent_dims"]} with size_factor='
      f'{given["size_factor"]!r}: a size factor belongs to one layer'
    )
  lookup('inference', INFERENCES, given['inference'])
  latent_dims = given['latent_dims']
  architecture = make_architecture(
    network,
    options,
    make_q,
    data_shape=given['data_shape'],
    latent_dims=latent_dims,
    layer_hidden_sizes=tuple(given['layer_hidden_sizes']),
    activation=given['activation'],
  )
  decoder = make_decoder(network, options, likelihood, latent_dims[0])
  return make_hierarchy(
    architecture, given['inference'], prior, likelihood, decoder
  )
