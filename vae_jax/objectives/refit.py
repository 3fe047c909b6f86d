"""What a likelihood learns in closed form, of each batch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vae_jax.config import Config
from vae_jax.distributions import sample
from vae_jax.model import VAE
from vae_jax.types import Array, Key, Params

# (key, params, batch) -> params
Refit = Callable[[Key, Params, Array], Params]


def make_refit(config: Config, vae: VAE) -> Refit | None:
  """Returns how --likelihood=normal_optimal sets sigma; None of any other.

  sigma^2 = 1/BD sum_bi (x_bi - mean_i(z_b))^2, z_b ~ q(z|x_b),

  where the expected log-likelihood of the batch is the highest in sigma, by
  one draw of each z. Taken before the gradient step, which then climbs in the
  network's parameters at that sigma. As the derivative in sigma is 0 there,
  the gradient is also that of the bound with sigma put in as a function of
  the network, the sigma-VAE's.

  References:
    Rybkin, Daniilidis and Levine 2021, Simple and Effective VAE Training with
    Calibrated Decoders (the optimal sigma-VAE).
  """
  if config.likelihood != 'normal_optimal':
    return None

  def squared_error(key: Key, params: Params, x: Array) -> Array:
    z = sample(key, vae.encode(params, x))
    return jnp.mean((x - vae.decode(params, z).mean()) ** 2)

  def refit(key: Key, params: Params, batch: Array) -> Params:
    keys = jax.random.split(key, len(batch))
    errors = jax.vmap(squared_error, (0, None, 0))(keys, params, batch)
    # Of data that are met exactly, whose density has no bound, stay finite.
    variance = jnp.maximum(jnp.mean(errors), 1e-20)
    decoder = params['decoder'] | {'log_scale': 0.5 * jnp.log(variance)}
    return params | {'decoder': decoder}

  return refit
