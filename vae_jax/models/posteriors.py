"""Posterior families: how the outputs of an encoder parameterise q(z|x)."""

from collections.abc import Callable, Mapping
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
from vae_jax.models.straight_through import clip_straight_through
from vae_jax.types import Array, Key, Params

# Name of an output of the encoder -> its shape.
Outputs = dict[str, tuple[int, ...]]


def _no_params(key: Key) -> Params:
  del key
  return {}


class PosteriorHead(NamedTuple):
  """A family of q(z|x) over latents of one size.

  Attributes:
    outputs: name and shape of each output of the encoder.
    make: `make(params, outputs) -> q(z|x)`.
    init: `init(key) -> params`, a dict of what is learned beside the network.
  """

  outputs: Outputs
  make: Callable[[Params, Mapping[str, Array]], Distribution]
  init: Callable[[Key], Params] = _no_params


class Posterior(NamedTuple):
  """A row of `POSTERIORS`: a family of q(z|x).

  Attributes:
    words: the family in a sentence; `{option}` stands for an option's value.
    head: `head(size of z, **options) -> PosteriorHead`.
    options: the options of `make_vae` that `head` reads.
  """

  words: str
  head: Callable[..., PosteriorHead]
  options: tuple[str, ...] = ()


def _location_scale(words: str, family: type[Distribution]) -> Posterior:
  """Builds the row of a family with parameters loc and log_scale, `[Z]`."""

  def make(_: Params, outputs: Mapping[str, Array]) -> Distribution:
    log_scale = clip_straight_through(outputs['log_scale'])
    return family(outputs['loc'], log_scale)  # type: ignore[call-arg]

  def head(size: int) -> PosteriorHead:
    return PosteriorHead({'loc': (size,), 'log_scale': (size,)}, make)

  return Posterior(words, head)


def _full_normal(size: int) -> PosteriorHead:
  """N(loc, C C'), C lower triangular with the exp of the output's diagonal."""

  def make(_: Params, outputs: Mapping[str, Array]) -> Distribution:
    output = outputs['scale_tril']
    diagonal = jnp.diag(jnp.exp(clip_straight_through(jnp.diagonal(output))))
    return MultivariateNormal(outputs['loc'], jnp.tril(output, -1) + diagonal)

  return PosteriorHead({'loc': (size,), 'scale_tril': (size, size)}, make)


def _bernoulli(size: int) -> PosteriorHead:
  """Independent bits with the encoder's logits."""
  return PosteriorHead(
    {'logits': (size,)}, lambda _, outputs: Bernoulli(outputs['logits'])
  )


POSTERIORS = {
  'normal': _location_scale('normal', Normal),
  'full_normal': Posterior('normal with full covariance', _full_normal),
  'laplace': _location_scale('laplace', Laplace),
  'logistic': _location_scale('logistic', Logistic),
  'bernoulli': Posterior('bernoulli', _bernoulli),
}
