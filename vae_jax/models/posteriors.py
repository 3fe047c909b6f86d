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


class Posterior(NamedTuple):
  """A row of `POSTERIORS`: a family of q(z|x).

  Attributes:
    words: the family in a sentence.
    family: class of the distribution; it knows which gradients it has.
    outputs: size of z -> name and shape of each output of the encoder.
    make: `make(params, outputs) -> q(z|x)`.
    init: `init(key) -> params`, a dict of what is learned beside the network.
  """

  words: str
  family: type[Distribution]
  outputs: Callable[[int], Outputs]
  make: Callable[[Params, Mapping[str, Array]], Distribution]
  init: Callable[[Key], Params] = _no_params


def _loc_and_log_scale(size: int) -> Outputs:
  return {'loc': (size,), 'log_scale': (size,)}


def _location_scale(words: str, family: type[Distribution]) -> Posterior:
  """Builds the row of a family with parameters loc and log_scale, `[Z]`."""

  def make(_: Params, outputs: Mapping[str, Array]) -> Distribution:
    log_scale = clip_straight_through(outputs['log_scale'])
    return family(outputs['loc'], log_scale)  # type: ignore[call-arg]

  return Posterior(words, family, _loc_and_log_scale, make)


def _full_normal(_: Params, outputs: Mapping[str, Array]) -> Distribution:
  """N(loc, C C'), C lower triangular with the exp of the output's diagonal."""
  output = outputs['scale_tril']
  diagonal = jnp.diag(jnp.exp(clip_straight_through(jnp.diagonal(output))))
  return MultivariateNormal(outputs['loc'], jnp.tril(output, -1) + diagonal)


POSTERIORS = {
  'normal': _location_scale('normal', Normal),
  'full_normal': Posterior(
    'normal with full covariance',
    MultivariateNormal,
    lambda size: {'loc': (size,), 'scale_tril': (size, size)},
    _full_normal,
  ),
  'laplace': _location_scale('laplace', Laplace),
  'logistic': _location_scale('logistic', Logistic),
  'bernoulli': Posterior(
    'bernoulli',
    Bernoulli,
    lambda size: {'logits': (size,)},
    lambda _, outputs: Bernoulli(outputs['logits']),
  ),
}
