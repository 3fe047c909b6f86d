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
from vae_jax.types import Key, Params


def _no_params(key: Key, size: int) -> Params:
  del key, size
  return {}


class Prior(NamedTuple):
  """A row of `PRIORS`: a family of p(z).

  Attributes:
    words: the family in a sentence.
    family: class of the distribution.
    make: `make(params, size of z) -> p(z)`.
    init: `init(key, size of z) -> params`, a dict of what is learned.
  """

  words: str
  family: type[Distribution]
  make: Callable[[Params, int], Distribution]
  init: Callable[[Key, int], Params] = _no_params


def _standard(words: str, family: type[Distribution]) -> Prior:
  """Builds the row of a family with location 0 and scale 1."""
  return Prior(
    f'standard {words}',
    family,
    lambda _, size: family(jnp.zeros(size), jnp.zeros(size)),  # type: ignore[call-arg]
  )


PRIORS = {
  'normal': _standard('normal', Normal),
  'laplace': _standard('laplace', Laplace),
  'logistic': _standard('logistic', Logistic),
  'bernoulli': Prior(
    'standard bernoulli',
    Bernoulli,
    lambda _, size: Bernoulli(jnp.zeros(size)),
  ),
}
