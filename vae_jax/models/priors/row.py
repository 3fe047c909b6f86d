"""The row of a prior family."""

from collections.abc import Callable
from typing import NamedTuple

from vae_jax.distributions import Distribution
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
    statistics: facts about x and the training data that `head` reads beside
      its options, and has defaults for: arguments of `make_vae`, and
      `data_bounds`, the lowest and highest number in x.
  """

  words: str
  head: Callable[..., PriorHead]
  options: tuple[str, ...] = ()
  statistics: tuple[str, ...] = ()
