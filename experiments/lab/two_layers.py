"""The model of `signal_to_noise` with a second stochastic layer.

z2 ~ N(mu, I), z1|z2 ~ N(z2 + c, I), x|z1 ~ N(z1, I), q(z1|x) = N(A1 x + b1,
8/9 I), q(z2|z1) = N(A2 z1 + b2, 2/3 I), near the optimum A1 = 2/3 I, A2 = I/2.
Each variance is 4/3 times that of the posterior, as with one layer.
"""

import math

import jax
import jax.numpy as jnp

from vae_jax.distributions import Chain, Conditional, Distribution, Normal
from vae_jax.models.vae import VAE
from vae_jax.types import Array, Key, Latent, Params

DIM, _OFFSET = 20, 0.01
_LOG_SCALE = {'z1': 0.5 * math.log(8 / 9), 'z2': 0.5 * math.log(2 / 3)}


def _affine(phi: Params, x: Array, layer: str) -> Normal:
  return Normal(phi['A'] @ x + phi['b'], _LOG_SCALE[layer])


def _q_of_z2(phi: Params, z: Latent) -> Distribution:
  return _affine(phi, z['z1'], 'z2')


def _p_of_z1(c: Array, z: Latent) -> Distribution:
  return Normal(z['z2'] + c, 0.0)


def model(dim: int = DIM) -> VAE:
  """Returns the VAE with groups 'encoder_z1', 'encoder_z2' and 'prior'.

  The rates in `signal_to_noise` need a K far above E_q[w^4] / E_q[w]^4, on
  which the noise of DReG depends. Of the optimal q it is 1.164^(2 dim): 1.8 for
  2 dimensions per layer, 434 for 20.

  Args:
    dim: dimensions of x and of each layer.
  """

  def encode(params: Params, x: Array) -> Chain:
    first = _affine(params['encoder_z1'], x, 'z1')
    return Chain(z1=first, z2=Conditional(_q_of_z2, params['encoder_z2']))

  def prior(params: Params) -> Chain:
    own = params['prior']
    below = Conditional(_p_of_z1, own['c'])
    return Chain(z2=Normal(own['mu'], 0.0), z1=below)

  return VAE(
    init=lambda key: perturbed(key, jnp.zeros(dim)),
    encode=encode,
    decode=lambda params, z: Normal(z['z1'], 0.0),
    prior=prior,
  )


def draw_data(key: Key, num_examples: int, dim: int = DIM) -> Array:
  """Draws the examples, `[num_examples, dim]`."""
  mu_key, x_key = jax.random.split(key)
  mu = jax.random.normal(mu_key, (dim,))
  # x is mu plus three noises, each with variance 1.
  return mu[None] + math.sqrt(3) * jax.random.normal(x_key, (num_examples, dim))


def perturbed(key: Key, mu: Array) -> Params:
  """Returns the optimal parameters for mean mu, plus a small perturbation."""
  eye = jnp.eye(len(mu))
  best = {
    'encoder_z1': {'A': 2 * eye / 3, 'b': mu / 3},
    'encoder_z2': {'A': eye / 2, 'b': mu / 2},
    'prior': {'mu': mu, 'c': jnp.zeros_like(mu)},
  }
  leaves, treedef = jax.tree.flatten(best)
  keys = jax.tree.unflatten(treedef, jax.random.split(key, len(leaves)))
  move = lambda x, key: x + _OFFSET * jax.random.normal(key, x.shape)
  return jax.tree.map(move, best, keys)
