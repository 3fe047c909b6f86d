"""Lower bounds on log p(x), for one example; and the one vmap over many."""

from vae_jax.objectives.elbo import (
  ElboTerms,
  elbo,
  mixed_elbo,
  posterior_elbo,
)
from vae_jax.objectives.importance import (
  iw_elbo,
  log_mean_exp,
  mixed_iw_elbo,
)
from vae_jax.objectives.loss import (
  LossFn,
  bound_name,
  free_bits,
  make_loss,
  vae_bound,
  vae_elbo,
  vae_log_joint,
)
from vae_jax.objectives.mixture import (
  ControlVariate,
  control_variate,
  learned_coefficient,
)
from vae_jax.objectives.refit import make_refit
from vae_jax.objectives.relatives import (
  ciw_elbo,
  miw_elbo,
  piw_elbo,
  renyi_elbo,
)
from vae_jax.objectives.words import describe

__all__ = (
  'ControlVariate',
  'ElboTerms',
  'LossFn',
  'bound_name',
  'ciw_elbo',
  'control_variate',
  'describe',
  'elbo',
  'free_bits',
  'iw_elbo',
  'learned_coefficient',
  'log_mean_exp',
  'make_loss',
  'make_refit',
  'miw_elbo',
  'mixed_elbo',
  'mixed_iw_elbo',
  'piw_elbo',
  'posterior_elbo',
  'renyi_elbo',
  'vae_bound',
  'vae_elbo',
  'vae_log_joint',
)
