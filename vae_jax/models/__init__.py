"""Networks, posteriors, priors and likelihoods, combined into models.

`make` and `networks` load Flax and are imported by name only.
"""

from vae_jax.models.inference import Inference, LatentModel, as_float
from vae_jax.models.likelihoods import LIKELIHOODS
from vae_jax.models.linear_gaussian import LinearGaussian, maximum_likelihood
from vae_jax.models.posteriors import POSTERIORS
from vae_jax.models.priors import PRIORS
from vae_jax.models.vae import (
  VAE,
  ConditionalVAE,
  SizeFactorVAE,
  with_sizes,
)

__all__ = (
  'LIKELIHOODS',
  'POSTERIORS',
  'PRIORS',
  'VAE',
  'ConditionalVAE',
  'Inference',
  'LatentModel',
  'LinearGaussian',
  'SizeFactorVAE',
  'as_float',
  'maximum_likelihood',
  'with_sizes',
)
