"""Latent-variable models, conditioned on one example."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from vae_jax.distributions import Distribution
from vae_jax.types import Array, Example, Key, Latent, Params


class Inference(NamedTuple):
  """Everything an objective needs of one example, with parameters bound.

  Attributes:
    posterior: q(z|x), or q(z|x, y).
    prior: p(z), or p(z|y).
    likelihood: z -> p(x|z), or z -> p(x|z, y).
    x: the observed part of the example.
  """

  posterior: Distribution
  prior: Distribution
  likelihood: Callable[[Latent], Distribution]
  x: Array

  def log_likelihood(self, z: Latent) -> Array:
    """Returns log p(x|z), `[]`, in nats."""
    return self.likelihood(z).log_prob(self.x)

  def log_joint(self, z: Latent) -> Array:
    """Returns log p(x, z) = log p(x|z) + log p(z), `[]`, in nats."""
    return self.likelihood(z).log_prob(self.x) + self.prior.log_prob(z)


@runtime_checkable
class LatentModel(Protocol):
  """A model that every service accepts: loss, NLL, AIS, gaps, report.

  Any object with these two pure functions will do.
  """

  def init(self, key: Key) -> Params:
    """Returns the initial parameters, any pytree."""

  def condition(self, params: Params, example: Example) -> Inference:
    """Returns q(z|x), p(z), p(x|z) and x of one example."""


def as_float(example: Example) -> Example:
  """Casts integers and booleans of the observed part x to float32.

  Binary images are stored as uint8, where 2 x - 1 would wrap around. x is the
  example itself if that is one array, or its entry 'x' if it is a dict. Other
  entries keep their dtype: a condition y may be an integer label. Floats keep
  their precision.
  """
  if isinstance(example, Mapping):
    if 'x' not in example:
      return example
    return {**example, 'x': jax.tree.map(_cast, example['x'])}
  return _cast(example) if hasattr(example, 'dtype') else example


def _cast(x: Array) -> Array:
  return (
    x
    if jnp.issubdtype(x.dtype, jnp.floating)
    else x.astype(jnp.result_type(float))
  )
