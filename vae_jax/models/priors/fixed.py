"""Priors without parameters: the standard member of a family."""

import jax.numpy as jnp

from vae_jax.distributions import (
  Bernoulli,
  Distribution,
  Laplace,
  Logistic,
  Normal,
)
from vae_jax.models.priors.row import Prior, PriorHead


def _standard(words: str, family: type[Distribution]) -> Prior:
  """Builds the row of a family with location 0 and scale 1."""

  def head(size: int) -> PriorHead:
    zeros = lambda: jnp.zeros(size)
    return PriorHead(lambda *_: family(zeros(), zeros()))  # type: ignore[call-arg]

  return Prior(f'standard {words}', head)


def _bernoulli(size: int) -> PriorHead:
  """Independent bits with probability 1/2."""
  return PriorHead(lambda *_: Bernoulli(jnp.zeros(size)))


NORMAL = _standard('normal', Normal)
LAPLACE = _standard('laplace', Laplace)
LOGISTIC = _standard('logistic', Logistic)
BERNOULLI = Prior('standard bernoulli', _bernoulli)
