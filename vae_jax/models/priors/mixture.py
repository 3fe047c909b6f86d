"""The prior that is a learned mixture of normals."""

import jax
import jax.numpy as jnp

from vae_jax.distributions import Mixture, Normal
from vae_jax.models.priors.row import Encode, Prior, PriorHead
from vae_jax.models.straight_through import clip_straight_through
from vae_jax.types import Key, Params


def _mixture(size: int, *, num_components: int) -> PriorHead:
  """p(z) = sum_m w_m N(z; loc_m, diag(scale_m^2)); w, loc, scale learned.

  Locations start as draws of N(0, I): equal components would stay equal.
  """
  if num_components < 1:
    raise ValueError(f'num_components is {num_components}: must be at least 1')

  def init(key: Key) -> Params:
    return {
      'logits': jnp.zeros(num_components),
      'loc': jax.random.normal(key, (num_components, size)),
      'log_scale': jnp.zeros((num_components, size)),
    }

  def make(params: Params, encode: Encode) -> Mixture:
    del encode
    log_scale = clip_straight_through(params['log_scale'])
    return Mixture(params['logits'], Normal(params['loc'], log_scale))

  return PriorHead(make, init)


MIXTURE = Prior(
  'mixture of {num_components} normals with learned weights',
  _mixture,
  options=('num_components',),
)
