"""Expectations under discrete latents, as functions of parameters.

The cost (z - 0.499)^2 of one bit, and the ELBO of a small VAE on digits at
initialisation, of eight bits and of one label.

References:
  Tucker et al. 2017, REBAR, section 5.1, for the cost.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.lab.tabular import load_binary_digits
from vae_jax.distributions import Bernoulli, kl
from vae_jax.models import LatentModel
from vae_jax.models.make import make_vae
from vae_jax.types import Array, Key, Params

_NUM_IMAGES = 20


class Problem(NamedTuple):
  """An expectation under discrete latents, as a function of parameters.

  Attributes:
    setting: description.
    params: any pytree.
    is_bits: whether q is a Bernoulli.
    objective: (estimate, params) -> [], `estimate(i, q, f)` for example i.
    num_examples: examples of the objective.
  """

  setting: str
  params: Params
  is_bits: bool
  objective: Callable[[Callable[..., Array], Params], Array]
  num_examples: int


def quadratic(logit: float) -> Problem:
  """Returns E[(z - 0.499)^2], z a bit."""

  def objective(estimate: Callable[..., Array], logit: Array) -> Array:
    f = lambda z: jnp.square(z - 0.499)
    return estimate(0, Bernoulli(logit), f)

  setting = f'(z - 0.499)^2, logit {logit:g}'
  return Problem(setting, jnp.float32(logit), True, objective, 1)


def vae(key: Key, setting: str, **options: Any) -> Problem:
  """Returns the ELBO of a VAE on digits, as a function of its encoder."""
  images = jnp.asarray(load_binary_digits(_NUM_IMAGES))
  model: LatentModel = make_vae(
    data_shape=images.shape[1:], hidden_sizes=(32,), **options
  )
  params = model.init(key)

  def objective(estimate: Callable[..., Array], encoder: Params) -> Array:
    def one(index: Array, x: Array) -> Array:
      found = model.condition({**params, 'encoder': encoder}, x)
      q = found.posterior
      return estimate(index, q, found.log_likelihood) - kl(q, found.prior)

    return jnp.mean(jax.vmap(one)(jnp.arange(len(images)), images))

  is_bits = options['posterior'] == 'bernoulli'
  return Problem(setting, params['encoder'], is_bits, objective, len(images))


def problems(key: Key) -> list[Problem]:
  """Returns the problems of the suite."""
  bits_key, label_key = jax.random.split(key)
  names = lambda name: {'posterior': name, 'prior': name}
  return [
    quadratic(0.0),
    quadratic(2.0),
    vae(bits_key, 'VAE, 8 bits', latent_dim=8, **names('bernoulli')),
    vae(
      label_key,
      'VAE, one label of 10',
      latent_dim=1,
      num_categories=10,
      **names('categorical'),
    ),
  ]
