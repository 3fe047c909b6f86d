"""Distributions as immutable pytrees, and divergences between them."""

from vae_jax.distributions.base import (
  Distribution,
  change_of_variables,
  distribution,
)
from vae_jax.distributions.bernoulli import Bernoulli
from vae_jax.distributions.bijections import (
  Affine,
  AffineCoupling,
  Bijection,
  MaskedAutoregressive,
  Permutation,
)
from vae_jax.distributions.categorical import Categorical
from vae_jax.distributions.chain import Chain, Conditional
from vae_jax.distributions.continuous_bernoulli import ContinuousBernoulli
from vae_jax.distributions.differentiability import (
  first_order_only,
  raise_on_gradient,
)
from vae_jax.distributions.exponential import (
  Exponential,
  Pareto,
  Rayleigh,
  Weibull,
)
from vae_jax.distributions.gamma_beta import Beta, Gamma
from vae_jax.distributions.heavy_tails import Cauchy, StudentT
from vae_jax.distributions.kl import has_kl, kl, kl_per_dimension
from vae_jax.distributions.location_scale import (
  Gumbel,
  Laplace,
  LocationScale,
  Logistic,
  Normal,
)
from vae_jax.distributions.log_normal import LogNormal
from vae_jax.distributions.logged_draw import LoggedDraw
from vae_jax.distributions.low_rank_normal import LowRankNormal
from vae_jax.distributions.mixture import Mixture
from vae_jax.distributions.multivariate_normal import MultivariateNormal
from vae_jax.distributions.numpyro import from_numpyro
from vae_jax.distributions.pixels import CategoricalPixels, DiscretisedLogistic
from vae_jax.distributions.relaxed import RelaxedBernoulli, RelaxedCategorical
from vae_jax.distributions.sampling import (
  check_num_samples,
  reparameterise,
  reparameterise_many,
  sample,
  sample_many,
)
from vae_jax.distributions.transformed import Transformed
from vae_jax.distributions.uniform import Uniform

__all__ = (
  'Affine',
  'AffineCoupling',
  'Bernoulli',
  'Beta',
  'Bijection',
  'Categorical',
  'CategoricalPixels',
  'Cauchy',
  'Chain',
  'Conditional',
  'ContinuousBernoulli',
  'DiscretisedLogistic',
  'Distribution',
  'Exponential',
  'Gamma',
  'Gumbel',
  'Laplace',
  'LocationScale',
  'LogNormal',
  'LoggedDraw',
  'Logistic',
  'LowRankNormal',
  'MaskedAutoregressive',
  'Mixture',
  'MultivariateNormal',
  'Normal',
  'Pareto',
  'Permutation',
  'Rayleigh',
  'RelaxedBernoulli',
  'RelaxedCategorical',
  'StudentT',
  'Transformed',
  'Uniform',
  'Weibull',
  'change_of_variables',
  'check_num_samples',
  'distribution',
  'first_order_only',
  'from_numpyro',
  'has_kl',
  'kl',
  'kl_per_dimension',
  'raise_on_gradient',
  'reparameterise',
  'reparameterise_many',
  'sample',
  'sample_many',
)
