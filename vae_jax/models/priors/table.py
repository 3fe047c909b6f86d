"""The table of prior families."""

from vae_jax.models.priors.fixed import BERNOULLI, LAPLACE, LOGISTIC, NORMAL
from vae_jax.models.priors.mixture import MIXTURE
from vae_jax.models.priors.realnvp import REALNVP
from vae_jax.models.priors.row import Prior
from vae_jax.models.priors.vamp import VAMP

PRIORS: dict[str, Prior] = {
  'normal': NORMAL,
  'laplace': LAPLACE,
  'logistic': LOGISTIC,
  'bernoulli': BERNOULLI,
  'mixture': MIXTURE,
  'vamp': VAMP,
  'realnvp': REALNVP,
}
