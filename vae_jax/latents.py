"""The families of q(z|x) and of p(z) that the flags name."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from vae_jax.distributions import (
  Bernoulli,
  Distribution,
  Laplace,
  Logistic,
  MultivariateNormal,
  Normal,
)
from vae_jax.networks import bounded
from vae_jax.types import Array


class Posterior(NamedTuple):
  """How a network's outputs make q(z|x).

  Attributes:
    outputs: the size of z -> name and shape of each output.
    make: the outputs, by name -> the distribution.
  """

  outputs: Callable[[int], dict[str, tuple[int, ...]]]
  make: Callable[..., Distribution]


def _location_scale(size: int) -> dict[str, tuple[int, ...]]:
  return {'loc': (size,), 'log_scale': (size,)}


def _bounded(
  family: Callable[[Array, Array], Distribution],
) -> Callable[..., Distribution]:
  return lambda loc, log_scale: family(loc, bounded(log_scale))


def _full_normal(loc: Array, scale_tril: Array) -> MultivariateNormal:
  """C is lower triangular, its diagonal the exp of the output's."""
  diagonal = jnp.diag(jnp.exp(bounded(jnp.diagonal(scale_tril))))
  return MultivariateNormal(loc, jnp.tril(scale_tril, -1) + diagonal)


POSTERIORS = {
  'normal': Posterior(_location_scale, _bounded(Normal)),
  'full_normal': Posterior(
    lambda size: {'loc': (size,), 'scale_tril': (size, size)}, _full_normal
  ),
  'laplace': Posterior(_location_scale, _bounded(Laplace)),
  'logistic': Posterior(_location_scale, _bounded(Logistic)),
  'bernoulli': Posterior(lambda size: {'logits': (size,)}, Bernoulli),
}

# The size of z -> p(z)
PRIORS: dict[str, Callable[[int], Distribution]] = {
  'normal': lambda size: Normal(jnp.zeros(size), jnp.zeros(size)),
  'laplace': lambda size: Laplace(jnp.zeros(size), jnp.zeros(size)),
  'logistic': lambda size: Logistic(jnp.zeros(size), jnp.zeros(size)),
  'bernoulli': lambda size: Bernoulli(jnp.zeros(size)),
}
