"""Normal likelihoods: sigma learned, given, or optimal in closed form."""

import math

import jax
import jax.numpy as jnp

from vae_jax.distributions import Normal
from vae_jax.models.likelihoods.head import Head, Mean
from vae_jax.models.straight_through import clip_straight_through


def normal(
  shape: tuple[int, ...], mean: Mean, *, data_scale: float = 1.0
) -> Head:
  """p(x|z) = N(mean(z), sigma^2), log sigma one scalar for every x and z.

  Sigma starts where it is optimal for a decoder of the mean example. Adam
  moves log sigma by about one learning rate per step, whatever its gradient.
  """
  return Head(
    shape,
    0.0 if mean is None else mean,
    lambda params, loc: Normal(loc, clip_straight_through(params['log_scale'])),
    lambda _: {'log_scale': jnp.full((), math.log(data_scale))},
  )


def normal_fixed(shape: tuple[int, ...], mean: Mean, *, sigma: float) -> Head:
  """p(x|z) = N(mean(z), sigma^2), sigma given."""
  log_scale = math.log(sigma)
  bias = 0.0 if mean is None else mean
  return Head(shape, bias, lambda _, loc: Normal(loc, log_scale))


def normal_optimal(shape: tuple[int, ...], mean: Mean) -> Head:
  """p(x|z) = N(mean(z), sigma^2), sigma set in closed form before each step.

  Sigma is stop-gradient: `training.make_refit` sets it, and the parameter
  keeps the value of the last step, with which p(x|z) is an ordinary density.
  """
  stopped = lambda params, loc: Normal(
    loc, jax.lax.stop_gradient(clip_straight_through(params['log_scale']))
  )
  return normal(shape, mean)._replace(make=stopped)
