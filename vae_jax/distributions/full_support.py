"""Densities that are positive on all of R^n, whose ends no map moves."""

from vae_jax.distributions.base import Distribution
from vae_jax.distributions.location_scale import LocationScale
from vae_jax.distributions.multivariate_normal import MultivariateNormal


def has_full_support(q: Distribution) -> bool:
  """Returns whether the density of q is known to be positive on all of R^n.

  Args:
    q: a distribution; its attribute `has_full_support` decides, if it has one.
  """
  known = isinstance(q, LocationScale | MultivariateNormal)
  return bool(getattr(q, 'has_full_support', known))
