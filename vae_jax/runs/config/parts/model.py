"""Options of the model."""

import dataclasses

from vae_jax.models import LIKELIHOODS, POSTERIORS, PRIORS
from vae_jax.models.hierarchy import INFERENCES
from vae_jax.models.likelihoods import SIZE_FACTORS
from vae_jax.models.networks import ACTIVATIONS, NETWORKS
from vae_jax.runs.config import shared
from vae_jax.runs.config.options import option
from vae_jax.runs.config.parts.part import Part


@dataclasses.dataclass(frozen=True)
class ModelOptions(Part):
  """The model; keyword arguments of `make_vae`."""

  latent_dim: int = option(
    10, 'size of z', shared.MODEL, at_least=1, at_most=shared.MANY
  )
  network: str = option(
    'mlp',
    'architecture of encoder and decoder; conv and resnet take images',
    shared.MODEL,
    choices=NETWORKS,
  )
  hidden_sizes: tuple[int, ...] = option(
    (200, 200),
    'units per hidden layer of the encoder, mirrored in the decoder; empty: '
    'linear maps',
    shared.MODEL,
    at_least=1,
    at_most=shared.MANY,
  )
  channels: tuple[int, ...] = option(
    (32, 64),
    'channels of each convolution of stride 2 of conv and resnet, mirrored in '
    'the decoder',
    shared.MODEL,
    at_least=1,
    at_most=shared.MANY,
  )
  num_blocks: int = option(
    1,
    'residual blocks of resnet after each convolution of stride 2',
    shared.MODEL,
    at_least=1,
    at_most=shared.MANY,
  )
  activation: str = option(
    'tanh',
    'nonlinearity of the hidden layers',
    shared.MODEL,
    choices=ACTIVATIONS,
  )
  posterior: str = option(
    'normal',
    'q(z|x): full_normal has a full covariance and low_rank_normal one of '
    'diagonal plus low rank; gamma, beta, bernoulli and categorical need the '
    'prior of their name',
    shared.MODEL,
    choices=POSTERIORS,
  )
  posterior_rank: int = option(
    2,
    'columns of the low-rank factor of the posterior low_rank_normal',
    shared.MODEL,
    at_least=1,
    at_most=shared.MANY,
  )
  posterior_df: float = option(
    5.0,
    'degrees of freedom of the posterior student_t, not learned',
    shared.MODEL,
    # The report states the mean and the standard deviation of q(z|x).
    above=2.0,
  )
  num_categories: int = option(
    10,
    'labels per dimension of the categorical posterior and prior; the decoder '
    'sees them one-hot',
    shared.MODEL,
    at_least=2,
    at_most=shared.MANY,
  )
  posterior_depth: int = option(
    2,
    'bijections of the posteriors iaf and realnvp, flows on a diagonal normal',
    shared.MODEL,
    at_least=1,
    at_most=shared.MANY,
  )
  posterior_width: int = option(
    100,
    'hidden units of each network of the posteriors iaf and realnvp, and size '
    'of their context; at least latent_dim',
    shared.MODEL,
    at_least=1,
    at_most=shared.MANY,
  )
  prior: str = option(
    'normal',
    'p(z): location 0 and scale 1; gamma of concentration 1 and rate 1; '
    'uniform beta, bernoulli and categorical; or a learned mixture of normals, '
    'vamp (a mixture of q at pseudo-inputs), realnvp (a flow)',
    shared.MODEL,
    choices=PRIORS,
  )
  num_components: int = option(
    10,
    'normals in the prior mixture',
    shared.MODEL,
    at_least=1,
    at_most=shared.MANY,
  )
  num_pseudo_inputs: int = option(
    500,
    'pseudo-inputs of the prior vamp, which start at training examples',
    shared.MODEL,
    at_least=1,
    at_most=shared.MANY,
  )
  prior_depth: int = option(
    4,
    'affine couplings of the prior realnvp',
    shared.MODEL,
    at_least=1,
    at_most=shared.MANY,
  )
  prior_width: int = option(
    100,
    'units per hidden layer of each coupling of the prior realnvp',
    shared.MODEL,
    at_least=1,
    at_most=shared.MANY,
  )
  condition_prior: bool = option(
    False,
    'learn p(z|y), the family of the prior with parameters affine in y; '
    'otherwise p(z|y) is p(z)',
    shared.MODEL,
  )
  likelihood: str = option(
    'bernoulli',
    'p(x|z): bernoulli of 0 and 1; continuous_bernoulli of [0, 1]; normal of '
    'real numbers, sigma learned, fixed, or optimal for each batch; '
    'discretised_logistic, its mixture and categorical of 8-bit pixels; '
    'poisson, negative_binomial and zero_inflated_negative_binomial of counts',
    shared.MODEL,
    choices=LIKELIHOODS,
  )
  sigma: float = option(
    0.1,
    'standard deviation of the likelihood normal_fixed',
    shared.MODEL,
    above=0.0,
  )
  num_mixtures: int = option(
    5,
    'components per pixel of discretised_logistic_mixture',
    shared.MODEL,
    at_least=1,
    at_most=shared.MANY,
  )
  size_factor: str = option(
    'none',
    'mean of counts: none for exp(output); total for softmax(output) times '
    'the total of the example, an observed covariate: p(x) is then p(x|total)',
    shared.MODEL,
    choices=SIZE_FACTORS,
  )
  latent_dims: tuple[int, ...] = option(
    (),
    'sizes of several stochastic layers z1, z2, ..., from the data to the top, '
    'in place of latent_dim; empty: one',
    shared.MODEL,
    at_least=1,
    at_most=shared.MANY,
  )
  layer_hidden_sizes: tuple[int, ...] = option(
    (100, 100),
    'units per hidden layer between two stochastic layers, mirrored in p; '
    'empty: linear maps',
    shared.MODEL,
    at_least=1,
    at_most=shared.MANY,
  )
  inference: str = option(
    'bottom_up',
    'order of several stochastic layers in q: bottom_up from x to the top, '
    'top_down as in ladder VAEs',
    shared.MODEL,
    choices=INFERENCES,
  )
