"""Distributions as immutable pytrees, and the divergences between them."""

from vae_jax.distributions.base import (
  Distribution,
  distribution,
  reparameterise,
  reparameterise_many,
  sample,
)
from vae_jax.distributions.bernoulli import Bernoulli
from vae_jax.distributions.kl import kl
from vae_jax.distributions.normal import Normal

__all__ = (
  'Bernoulli',
  'Distribution',
  'Normal',
  'distribution',
  'kl',
  'reparameterise',
  'reparameterise_many',
  'sample',
)
