"""Models of partly observed data: q sees zeros and the mask."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

from vae_jax.distributions import Distribution
from vae_jax.distributions.masked import Masked
from vae_jax.models.inference import Inference, LatentModel
from vae_jax.types import Array, Key, Latent, Params


class MissingVAE(NamedTuple):
  """A VAE of examples `{'x': x, 'mask': mask}`, perhaps with a condition 'y'.

  The bound is that of log p(x_observed): numbers that are not observed leave
  the sum of log p(x|z), whatever x holds there. This is exact where values are
  missing at random.

  Attributes:
    model: VAE or conditional VAE whose encoder takes x with zeros where it is
      not observed, and the mask in channels (or entries) of its own, as
      `with_mask` joins them.

  References:
    Mattei and Frellsen 2019, MIWAE: Deep Generative Modelling and Imputation
    of Incomplete Data Sets, section 3.
  """

  model: LatentModel

  def init(self, key: Key) -> Params:
    """Returns the initial parameters."""
    return self.model.init(key)

  def condition(
    self, params: Params, example: Mapping[str, Array]
  ) -> Inference:
    """Returns q(z|x_observed, mask), p(z), p(x_observed|z) and x."""
    x, mask = example['x'], example['mask']
    joined: Any = with_mask(x, mask)
    if 'y' in example:
      joined = {'x': joined, 'y': example['y']}
    whole = self.model.condition(params, joined)

    def likelihood(z: Latent) -> Distribution:
      return Masked(whole.likelihood(z), mask)

    return whole._replace(likelihood=likelihood, x=observed(x, mask))


def observed(x: Array, mask: Array) -> Array:
  """Returns x with zeros where it is not observed."""
  return jnp.where(mask, x, jnp.zeros((), x.dtype))


def with_mask(x: Array, mask: Array) -> Array:
  """Returns `observed(x)` and the mask, joined along the last axis."""
  return jnp.concatenate([observed(x, mask), mask.astype(x.dtype)], axis=-1)


def shape_with_mask(shape: tuple[int, ...]) -> tuple[int, ...]:
  """Returns the shape of `with_mask` for one x of a shape."""
  return (*shape[:-1], 2 * shape[-1])


def beside_mask(
  encoder_input: Callable[[Array], Array],
) -> Callable[[Array], Array]:
  """Returns the input of an encoder for `with_mask`: x changes, not the mask.

  Args:
    encoder_input: x -> what the encoder sees of it, of the same shape.
  """

  def of_joined(joined: Array) -> Array:
    x, mask = jnp.split(joined, 2, axis=-1)
    return jnp.concatenate([encoder_input(x), mask], axis=-1)

  return of_joined
