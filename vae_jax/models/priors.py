"""Prior families p(z)."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from vae_jax.distributions import (
  Bernoulli,
  Distribution,
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


PRIORS = {
  'normal': _standard('normal', Normal),
  'laplace': _standard('laplace', Laplace),
  'logistic': _standard('logistic', Logistic),
  'bernoulli': Prior('standard bernoulli', _bernoulli),
}
