"""The closed-form optimal variance of a Gaussian likelihood (sigma-VAE)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vae_jax.distributions import sample
from vae_jax.models import LatentModel
from vae_jax.training.loss import example_keys
from vae_jax.types import Array, Example, Key, Params

# (key, params, batch) -> params
Refit = Callable[[Key, Params, Any], Params]


def make_refit(model: LatentModel) -> Refit:
  """Makes the update of sigma for the likelihood 'normal_optimal'.

  sigma^2 = 1/BD sum_bi (x_bi - mean_i(z_b))^2, z_b ~ q(z|x_b),

  maximises the expected log-likelihood of the batch, estimated with one
  sample of z per example. It is set before the gradient step. As the
  derivative with respect to sigma is 0 there, the gradient is also that of
  the bound with sigma as a function of the network, as in the sigma-VAE.

  Args:
    model: its params have `params['decoder']['log_scale']`, log sigma.

  References:
    Rybkin, Daniilidis and Levine 2021, Simple and Effective VAE Training with
    Calibrated Decoders (the optimal sigma-VAE).
  """

  def squared_error(key: Key, params: Params, example: Example) -> Array:
    inference = model.condition(params, example)
    z = sample(key, inference.posterior)
    return jnp.mean((inference.x - inference.likelihood(z).mean()) ** 2)

  def refit(key: Key, params: Params, batch: Any) -> Params:
    keys = example_keys(key, batch)
    errors = jax.vmap(squared_error, (0, None, 0))(keys, params, batch)
    # Data that are fitted exactly have no bounded density: stay finite.
    variance = jnp.maximum(jnp.mean(errors), 1e-20)
    decoder = params['decoder'] | {'log_scale': 0.5 * jnp.log(variance)}
    return params | {'decoder': decoder}

  return refit
