"""The linear-Gaussian model of the signal-to-noise ratio against K.

z ~ N(mu, I), x|z ~ N(z, I), q(z|x) = N(A x + b, 2/3 I), with 20 dimensions.
The parameters are near the optimum A = I/2, b = mu/2.

References:
  Rainforth et al. 2018, Tighter Variational Bounds are Not Necessarily Better,
  section 4.
"""

import math

import jax
import jax.numpy as jnp

from vae_jax.distributions import Normal
from vae_jax.models.vae import VAE
from vae_jax.types import Array, Key, Params

_DIM, _OFFSET = 20, 0.01


def model() -> VAE:
  """Returns the VAE with parameter groups 'encoder' (A, b), 'decoder' (mu)."""
  scale = 0.5 * math.log(2 / 3)

  def encode(params: Params, x: Array) -> Normal:
    phi = params['encoder']
    return Normal(phi['A'] @ x + phi['b'], scale)

  return VAE(
    init=lambda key: perturbed(key, jnp.zeros(_DIM)),
    encode=encode,
    decode=lambda params, z: Normal(z, 0.0),
    prior=lambda params: Normal(params['decoder']['mu'], 0.0),
  )


def draw_data(key: Key, num_examples: int) -> Array:
  """Draws the examples, `[num_examples, 20]`."""
  mu_key, x_key = jax.random.split(key)
  mu = jax.random.normal(mu_key, (_DIM,))
  # x = z + noise, each with variance 1.
  return mu[None] + math.sqrt(2) * jax.random.normal(
    x_key, (num_examples, _DIM)
  )


def perturbed(key: Key, mu: Array) -> Params:
  """Returns the optimal parameters for mean mu, plus a small perturbation."""
  mu_key, a_key, b_key = jax.random.split(key, 3)
  move = lambda key, x: x + _OFFSET * jax.random.normal(key, x.shape)
  encoder = {'A': move(a_key, jnp.eye(_DIM) / 2), 'b': move(b_key, mu / 2)}
  return {'encoder': encoder, 'decoder': {'mu': move(mu_key, mu)}}
