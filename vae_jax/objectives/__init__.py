"""Lower bounds on log p(x) for one example, with their gradient estimators."""

from vae_jax.objectives.control_variate import (
  ControlVariate,
  control_variate,
  learned_coefficient,
)
from vae_jax.objectives.elbo import (
  ElboTerms,
  elbo,
  mixed_elbo,
  posterior_elbo,
  resolve_form,
)
from vae_jax.objectives.free_bits import free_bits
from vae_jax.objectives.importance import (
  iw_elbo,
  log_mean_exp,
  mixed_iw_elbo,
)
from vae_jax.objectives.table import (
  ESTIMATORS,
  OBJECTIVES,
  Estimator,
  Objective,
  of_log_joint,
)
from vae_jax.objectives.variants import (
  ciw_elbo,
  miw_elbo,
  piw_elbo,
  renyi_elbo,
)

__all__ = (
  'ESTIMATORS',
  'OBJECTIVES',
  'ControlVariate',
  'ElboTerms',
  'Estimator',
  'Objective',
  'ciw_elbo',
  'control_variate',
  'elbo',
  'free_bits',
  'iw_elbo',
  'learned_coefficient',
  'log_mean_exp',
  'miw_elbo',
  'mixed_elbo',
  'mixed_iw_elbo',
  'of_log_joint',
  'piw_elbo',
  'posterior_elbo',
  'renyi_elbo',
  'resolve_form',
)
