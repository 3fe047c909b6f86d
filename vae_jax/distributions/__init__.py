"""Distributions as immutable pytrees, and the divergences between them."""

from vae_jax.distributions.admission import refuse_gradient
from vae_jax.distributions.base import (
  Distribution,
  change_of_variables,
  distribution,
)
from vae_jax.distributions.bernoulli import Bernoulli
from vae_jax.distributions.categorical import Categorical
from vae_jax.distributions.continuous_bernoulli import ContinuousBernoulli
from vae_jax.distributions.exponential import (
  Exponential,
  Pareto,
  Rayleigh,
  Weibull,
)
from vae_jax.distributions.foreign import from_numpyro
from vae_jax.distributions.implicit import Beta, Gamma
from vae_jax.distributions.kl import has_kl, kl, kl_per_dimension
from vae_jax.distributions.location_scale import (
  Cauchy,
  Gumbel,
  Laplace,
  LocationScale,
  Logistic,
  Normal,
  StudentT,
)
from vae_jax.distributions.log_normal import LogNormal
from vae_jax.distributions.multivariate_normal import MultivariateNormal
from vae_jax.distributions.pixels import (
  CategoricalPixels,
  DiscretisedLogistic,
)
from vae_jax.distributions.relaxed import RelaxedBernoulli, RelaxedCategorical
from vae_jax.distributions.sampling import (
  check_num_samples,
  reparameterise,
  reparameterise_many,
  sample,
  sample_many,
)
from vae_jax.distributions.uniform import Uniform

__all__ = (
  'Bernoulli',
  'Beta',
  'Categorical',
  'CategoricalPixels',
  'Cauchy',
  'ContinuousBernoulli',
  'DiscretisedLogistic',
  'Distribution',
  'Exponential',
  'Gamma',
  'Gumbel',
  'Laplace',
  'LocationScale',
  'LogNormal',
  'Logistic',
  'MultivariateNormal',
  'Normal',
  'Pareto',
  'Rayleigh',
  'RelaxedBernoulli',
  'RelaxedCategorical',
  'StudentT',
  'Uniform',
  'Weibull',
  'change_of_variables',
  'check_num_samples',
  'distribution',
  'from_numpyro',
  'has_kl',
  'kl',
  'kl_per_dimension',
  'refuse_gradient',
  'reparameterise',
  'reparameterise_many',
  'sample',
  'sample_many',
)
