"""What the numbers that a decoder gives mean: p(x|z)."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.config import Config
from vae_jax.distributions import (
  Bernoulli,
  CategoricalPixels,
  ContinuousBernoulli,
  DiscretisedLogistic,
  Distribution,
  Normal,
)
from vae_jax.networks import bounded
from vae_jax.types import Array, ArrayLike, Params

# A logistic of standard deviation 0.25, of pixels in [0, 1].
_LOG_SCALE = -2.0


class Likelihood(NamedTuple):
  """From a decoder's output to p(x|z), for one example.

  Attributes:
    output_shape: of the decoder's output.
    output_bias: that this output starts from, a number or of `output_shape`.
    init: `init() -> params`, a dict: what is learned beside the network.
    distribution: `distribution(params, output) -> p(x|z)`.
  """

  output_shape: tuple[int, ...]
  output_bias: ArrayLike
  init: Callable[[], Params]
  distribution: Callable[[Params, Array], Distribution]


def make_likelihood(
  config: Config, data_shape: tuple[int, ...], data_mean: np.ndarray | None
) -> Likelihood:
  """Returns the likelihood that the flags describe.

  Args:
    config: names it.
    data_shape: the shape of one x.
    data_mean: the mean training example, of `data_shape`; None if unknown.
  """
  return LIKELIHOODS[config.likelihood](config, data_shape, data_mean)


Mean = np.ndarray | None


def _bernoulli(_: Config, shape: tuple[int, ...], mean: Mean) -> Likelihood:
  """p(x|z) = Bernoulli(logits(z)), x in {0, 1}."""
  bias = 0.0 if mean is None else _logit(mean)
  return Likelihood(shape, bias, dict, lambda _, logits: Bernoulli(logits))


def _continuous_bernoulli(
  _: Config, shape: tuple[int, ...], mean: Mean
) -> Likelihood:
  """p(x|z) = ContinuousBernoulli(logits(z)), x in [0, 1]."""
  bias = 0.0 if mean is None else _continuous_logit(mean)
  return Likelihood(
    shape, bias, dict, lambda _, logits: ContinuousBernoulli(logits)
  )


def _normal(_: Config, shape: tuple[int, ...], mean: Mean) -> Likelihood:
  """p(x|z) = N(mean(z), sigma^2), log sigma one number for every x and z."""
  return Likelihood(
    shape,
    0.0 if mean is None else mean,
    lambda: {'log_scale': jnp.zeros(())},
    lambda params, loc: Normal(loc, bounded(params['log_scale'])),
  )


def _normal_fixed(
  config: Config, shape: tuple[int, ...], mean: Mean
) -> Likelihood:
  """p(x|z) = N(mean(z), sigma^2), sigma given."""
  log_scale = math.log(config.sigma)
  return Likelihood(
    shape,
    0.0 if mean is None else mean,
    dict,
    lambda _, loc: Normal(loc, log_scale),
  )


def _normal_optimal(
  config: Config, shape: tuple[int, ...], mean: Mean
) -> Likelihood:
  """p(x|z) = N(mean(z), sigma^2), sigma set in closed form before each step.

  The gradient leaves it alone: `objectives.make_refit` sets it, and the
  parameter keeps the value of the last step, with which p(x|z) is a density
  like any other.
  """
  stopped = lambda params, loc: Normal(
    loc, jax.lax.stop_gradient(bounded(params['log_scale']))
  )
  return _normal(config, shape, mean)._replace(distribution=stopped)


def _discretised_logistic(
  _: Config, shape: tuple[int, ...], mean: Mean
) -> Likelihood:
  """p(x|z) = DiscretisedLogistic(loc(z), log_scale(z)), x an 8-bit pixel.

  The network gives each pixel its own scale: a background that is always
  black is nearly certain while the figure is not.
  """
  loc = np.full(shape, 0.5) if mean is None else mean
  bias = np.stack([loc, np.full(shape, _LOG_SCALE)], axis=-1)
  return Likelihood(
    (*shape, 2),
    bias,
    dict,
    lambda _, output: DiscretisedLogistic(
      output[..., 0], bounded(output[..., 1])
    ),
  )


def _categorical(
  config: Config, shape: tuple[int, ...], mean: Mean
) -> Likelihood:
  """p(x|z) = CategoricalPixels(logits(z)), 256 numbers an 8-bit pixel.

  It starts as the discretised logistic does: neighbouring levels alike.
  """
  start = _discretised_logistic(config, shape, mean)
  p = start.distribution({}, jnp.asarray(start.output_bias, jnp.float32))
  assert isinstance(p, DiscretisedLogistic)
  bias = np.asarray(p.log_probabilities)
  return Likelihood(
    bias.shape, bias, dict, lambda _, logits: CategoricalPixels(logits)
  )


LIKELIHOODS = {
  'bernoulli': _bernoulli,
  'continuous_bernoulli': _continuous_bernoulli,
  'normal': _normal,
  'normal_fixed': _normal_fixed,
  'normal_optimal': _normal_optimal,
  'discretised_logistic': _discretised_logistic,
  'categorical': _categorical,
}


def _logit(mean: np.ndarray) -> np.ndarray:
  # A pixel that is always off would start at -inf and never learn.
  mean = np.clip(mean, 0.001, 0.999)
  return np.log(mean) - np.log1p(-mean)


def _continuous_logit(mean: np.ndarray) -> np.ndarray:
  """Returns logits at which the continuous Bernoulli has this mean."""
  # The mean rises with the logit; a table, for want of a closed form. It ends
  # at means 0.01 and 0.99: a pixel that is always off is off by no more.
  logits = np.sinh(np.linspace(-5.3, 5.3, 2001))
  return np.interp(mean, ContinuousBernoulli(logits).mean(), logits)
