"""Prior families p(z), a row of a table each."""

from vae_jax.models.priors.row import Encode, Prior, PriorHead
from vae_jax.models.priors.table import PRIORS

__all__ = ('PRIORS', 'Encode', 'Prior', 'PriorHead')
