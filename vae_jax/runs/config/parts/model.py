"""Options of the model."""

import dataclasses

from vae_jax.models import LIKELIHOODS, POSTERIORS, PRIORS
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
    'architecture of encoder and decoder',
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
  activation: str = option(
    'tanh',
    'nonlinearity of the hidden layers',
    shared.MODEL,
    choices=ACTIVATIONS,
  )
  posterior: str = option(
    'normal',
    'q(z|x); full_normal has a full covariance',
    shared.MODEL,
    choices=POSTERIORS,
  )
  prior: str = option(
    'normal',
    'p(z), with location 0 and scale 1; bernoulli has probabilities 1/2',
    shared.MODEL,
    choices=PRIORS,
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
    'discretised_logistic and categorical of 8-bit pixels',
    shared.MODEL,
    choices=LIKELIHOODS,
  )
  sigma: float = option(
    0.1,
    'standard deviation of the likelihood normal_fixed',
    shared.MODEL,
    above=0.0,
  )
