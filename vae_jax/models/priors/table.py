"""The table of prior families."""

from vae_jax.models.priors import fixed
from vae_jax.models.priors.mixture import MIXTURE
from vae_jax.models.priors.realnvp import REALNVP
from vae_jax.models.priors.row import Prior
from vae_jax.models.priors.vamp import VAMP

PRIORS: dict[str, Prior] = {
  'normal': fixed.NORMAL,
  'laplace': fixed.LAPLACE,
  'logistic': fixed.LOGISTIC,
  'gamma': fixed.GAMMA,
  'beta': fixed.BETA,
  'bernoulli': fixed.BERNOULLI,
  'categorical': fixed.CATEGORICAL,
  'mixture': MIXTURE,
  'vamp': VAMP,
  'realnvp': REALNVP,
}
