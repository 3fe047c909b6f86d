"""Prior families p(z)."""

from collections.abc import Callable
from typing import NamedTuple

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
from vae_jax.types import Array, Key, Params

# x -> q(z|x), its parameters bound.
Encode = Callable[[Array], Distribution]


def _no_params(key: Key) -> Params:
  del key
  return {}


class PriorHead(NamedTuple):
  """A family of p(z) over latents of one size.

  Attributes:
    make: `make(params, encode) -> p(z)`; `encode` is x -> q(z|x), for priors
      that contain it.
    init: `init(key) -> params`, a dict of what is learned.
  """

  make: Callable[[Params, Encode], Distribution]
  init: Callable[[Key], Params] = _no_params


class Prior(NamedTuple):
  """A row of `PRIORS`: a family of p(z).

  Attributes:
    words: the family in a sentence; `{option}` stands for an option's value.
    head: `head(size of z, **options) -> PriorHead`.
    options: the options of `make_vae` that `head` reads.
    statistics: the facts about the training data, arguments of `make_vae`,
      that `head` reads.
  """

  words: str
  head: Callable[..., PriorHead]
  options: tuple[str, ...] = ()
  statistics: tuple[str, ...] = ()


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


PRIORS = {
  'normal': _standard('normal', Normal),
  'laplace': _standard('laplace', Laplace),
  'logistic': _standard('logistic', Logistic),
  'gamma': Prior('gamma of concentration 1 and rate 1', _gamma),
  'beta': Prior('beta of concentrations 1 and 1', _beta),
  'bernoulli': Prior('standard bernoulli', _bernoulli),
  'categorical': Prior(
    'uniform categorical of {num_categories} labels per dimension',
    _categorical,
    options=('num_categories',),
  ),
}
