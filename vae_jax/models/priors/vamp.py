"""The VampPrior: a mixture of posteriors at learned pseudo-inputs."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import Mixture
from vae_jax.errors import UserError
from vae_jax.models.priors.row import Encode, Prior, PriorHead
from vae_jax.models.straight_through import clip_straight_through
from vae_jax.types import Array, Key, Params


def _vamp(
  size: int,
  *,
  num_pseudo_inputs: int,
  data_shape: tuple[int, ...] = (),
  data_bounds: tuple[float, float] = (-math.inf, math.inf),
  data_examples: np.ndarray | None = None,
) -> PriorHead:
  """p(z) = 1/M sum_m q(z|u_m), the pseudo-inputs u_m learned.

  They are examples as the encoder sees them, clipped to the data's bounds with
  a straight-through gradient, and start at `data_examples`. Without these they
  start at random: uniform in the bounds, or standard normal where x has none.

  References:
    Tomczak and Welling 2018, VAE with a VampPrior, eq. (9).
  """
  del size  # That of q.
  if num_pseudo_inputs < 1:
    raise ValueError(
      f'num_pseudo_inputs is {num_pseudo_inputs}: must be at least 1'
    )
  shape = (num_pseudo_inputs, *data_shape)
  low, high = data_bounds
  if data_examples is not None and len(data_examples) < num_pseudo_inputs:
    raise UserError(
      f'--num_pseudo_inputs: got {num_pseudo_inputs}, expected at most '
      f'{len(data_examples)}, the training examples at which they start. Use '
      'fewer'
    )

  def start(key: Key) -> Array:
    if data_examples is not None:
      some = jnp.asarray(data_examples[:num_pseudo_inputs], float)
      return jnp.reshape(some, shape)
    if math.isinf(high - low):
      return jax.random.normal(key, shape)
    return jax.random.uniform(key, shape, minval=low, maxval=high)

  def make(params: Params, encode: Encode) -> Mixture:
    inputs = clip_straight_through(params['pseudo_inputs'], low, high)
    return Mixture(jnp.zeros(num_pseudo_inputs), jax.vmap(encode)(inputs))

  return PriorHead(make, lambda key: {'pseudo_inputs': start(key)})


VAMP = Prior(
  'mixture of q(z|u) at {num_pseudo_inputs} learned pseudo-inputs u '
  '(VampPrior)',
  _vamp,
  options=('num_pseudo_inputs',),
  statistics=('data_shape', 'data_bounds', 'data_examples'),
)
