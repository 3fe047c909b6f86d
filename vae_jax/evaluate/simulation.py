"""Simulation of examples (z, x) from a model, z ~ p(z) and x ~ p(x|z)."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import sample
from vae_jax.models import VAE, Inference, LatentModel
from vae_jax.types import Array, Example, Key, Latent, Params


def simulate(key: Key, inference: Inference) -> tuple[Latent, Array]:
  """Draws z ~ p(z) and x ~ p(x|z); z is then an exact sample of p(z|x)."""
  z_key, x_key = jax.random.split(key)
  z = sample(z_key, inference.prior)
  return z, sample(x_key, inference.likelihood(z))


def template(model: LatentModel, params: Params) -> Any:
  """Returns one example of zeros, `[1, ...]`, of the shape of p(x|z)."""
  if not isinstance(model, VAE):
    raise ValueError(
      'data: got None, expected examples whose conditions are used: '
      f'{type(model).__name__} is not a VAE'
    )

  def draw(params: Params) -> Array:
    z_key, x_key = jax.random.split(jax.random.key(0))
    z = model.prior(params).sample(z_key)
    return model.decode(params, z).sample(x_key)

  x = jax.eval_shape(draw, params)
  return jax.tree.map(lambda x: jnp.zeros((1, *x.shape), x.dtype), x)


def replace_x(example: Example, x: Array) -> Example:
  """Returns the example with another x, and its own condition."""
  if isinstance(example, Mapping) and 'x' in example:
    return {**example, 'x': x}
  if isinstance(example, jax.Array):
    return x
  raise TypeError(
    f'data: got an example of type {type(example).__name__}, expected an array '
    "or a dict with an entry 'x'"
  )
