"""Reparameterised gradients and variational autoencoders in JAX."""

from vae_jax.config import Config
from vae_jax.distributions import (
  Bernoulli,
  Distribution,
  Normal,
  distribution,
  kl,
  reparameterise,
  reparameterise_many,
  sample,
)
from vae_jax.errors import UserError
from vae_jax.estimators import pathwise
from vae_jax.evaluate import Nll, estimate_nll
from vae_jax.model import VAE, make_vae
from vae_jax.objectives import ElboTerms, elbo, iw_elbo
from vae_jax.train_step import TrainState, init_train_state, make_train_step

__all__ = (
  'VAE',
  'Bernoulli',
  'Config',
  'Distribution',
  'ElboTerms',
  'Nll',
  'Normal',
  'TrainState',
  'UserError',
  'distribution',
  'elbo',
  'estimate_nll',
  'init_train_state',
  'iw_elbo',
  'kl',
  'make_train_step',
  'make_vae',
  'pathwise',
  'reparameterise',
  'reparameterise_many',
  'sample',
)
