"""Priors without parameters: the standard member of a family."""

import jax.numpy as jnp

from vae_jax.distributions import (
  Bernoulli,
  Beta,
  Categorical,
  Distribution,
  Gamma,
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


def _gamma(size: int) -> PriorHead:
  """Independent gammas of concentration 1 and rate 1: exponentials."""
  return PriorHead(lambda *_: Gamma(jnp.ones(size), jnp.zeros(size)))


def _beta(size: int) -> PriorHead:
  """Independent betas of concentrations 1 and 1: uniform on (0, 1)."""
  return PriorHead(lambda *_: Beta(jnp.ones(size), jnp.ones(size)))


def _categorical(size: int, *, num_categories: int) -> PriorHead:
  """Independent labels of equal probabilities."""
  return PriorHead(lambda *_: Categorical(jnp.zeros((size, num_categories))))


NORMAL = _standard('normal', Normal)
LAPLACE = _standard('laplace', Laplace)
LOGISTIC = _standard('logistic', Logistic)
BERNOULLI = Prior('standard bernoulli', _bernoulli)
GAMMA = Prior('gamma of concentration 1 and rate 1', _gamma)
BETA = Prior('beta of concentrations 1 and 1', _beta)
CATEGORICAL = Prior(
  'uniform categorical of {num_categories} labels per dimension',
  _categorical,
  options=('num_categories',),
)
