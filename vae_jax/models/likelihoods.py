"""Likelihood families: how the output of a decoder parameterises p(x|z)."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import (
  Bernoulli,
  CategoricalPixels,
  ContinuousBernoulli,
  DiscretisedLogistic,
  Distribution,
  Normal,
)
from vae_jax.models.straight_through import clip_straight_through
from vae_jax.models.supports import BINARY, PIXELS, REALS, UNIT
from vae_jax.types import Array, ArrayLike, Key, Params

# A logistic of standard deviation 0.25, for pixels in [0, 1].
_LOG_SCALE = -2.0

# Mean training example, of the shape of one x; None where unknown.
Mean = np.ndarray | None


def _no_params(key: Key) -> Params:
  del key
  return {}


class Head(NamedTuple):
  """A likelihood of data of one shape.

  Attributes:
    output_shape: shape of the decoder's output.
    output_bias: initial bias of that output, a number or of `output_shape`.
    make: `make(params, output) -> p(x|z)`.
    init: `init(key) -> params`, a dict of what is learned beside the network.
  """

  output_shape: tuple[int, ...]
  output_bias: ArrayLike
  make: Callable[[Params, Array], Distribution]
  init: Callable[[Key], Params] = _no_params


class Likelihood(NamedTuple):
  """A row of `LIKELIHOODS`: a family of p(x|z).

  Attributes:
    words: the family in a sentence; `{sigma}` stands for the option.
    support: what it is a distribution over, one of `supports`.
    head: `head(shape of one x, mean example, **options) -> Head`.
    options: the options of `make_vae` that `head` reads.
    fits_sigma: sigma is set in closed form before each step, by
      `training.make_refit`.
    statistics: the statistics of the training data, arguments of `make_vae`,
      that `head` reads beside the mean.
  """

  words: str
  support: str
  head: Callable[..., Head]
  options: tuple[str, ...] = ()
  fits_sigma: bool = False
  statistics: tuple[str, ...] = ()


def _bernoulli(shape: tuple[int, ...], mean: Mean) -> Head:
  """p(x|z) = Bernoulli(logits(z)), x in {0, 1}."""
  bias = 0.0 if mean is None else _logit(mean)
  return Head(shape, bias, lambda _, logits: Bernoulli(logits))


def _continuous_bernoulli(shape: tuple[int, ...], mean: Mean) -> Head:
  """p(x|z) = ContinuousBernoulli(logits(z)), x in [0, 1]."""
  bias = 0.0 if mean is None else _continuous_logit(mean)
  return Head(shape, bias, lambda _, logits: ContinuousBernoulli(logits))


def _normal(
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


def _normal_fixed(shape: tuple[int, ...], mean: Mean, *, sigma: float) -> Head:
  """p(x|z) = N(mean(z), sigma^2), sigma given."""
  log_scale = math.log(sigma)
  bias = 0.0 if mean is None else mean
  return Head(shape, bias, lambda _, loc: Normal(loc, log_scale))


def _normal_optimal(shape: tuple[int, ...], mean: Mean) -> Head:
  """p(x|z) = N(mean(z), sigma^2), sigma set in closed form before each step.

  Sigma is stop-gradient: `training.make_refit` sets it, and the parameter
  keeps the value of the last step, with which p(x|z) is an ordinary density.
  """
  stopped = lambda params, loc: Normal(
    loc, jax.lax.stop_gradient(clip_straight_through(params['log_scale']))
  )
  return _normal(shape, mean)._replace(make=stopped)


def _discretised_logistic(shape: tuple[int, ...], mean: Mean) -> Head:
  """p(x|z) = DiscretisedLogistic(loc(z), log_scale(z)), x an 8-bit pixel.

  The network gives each pixel its own scale: a background that is always
  black becomes nearly certain while the figure does not.
  """
  loc = np.full(shape, 0.5) if mean is None else mean
  bias = np.stack([loc, np.full(shape, _LOG_SCALE)], axis=-1)
  return Head(
    (*shape, 2),
    bias,
    lambda _, output: DiscretisedLogistic(
      output[..., 0], clip_straight_through(output[..., 1])
    ),
  )


def _categorical(shape: tuple[int, ...], mean: Mean) -> Head:
  """p(x|z) = CategoricalPixels(logits(z)), 256 logits per 8-bit pixel.

  It starts at the discretised logistic's initial probabilities, in which
  neighbouring levels are alike.
  """
  start = _discretised_logistic(shape, mean)
  p = start.make({}, jnp.asarray(start.output_bias, float))
  assert isinstance(p, DiscretisedLogistic)
  bias = np.asarray(p.log_probabilities)
  return Head(bias.shape, bias, lambda _, logits: CategoricalPixels(logits))


LIKELIHOODS = {
  'bernoulli': Likelihood('bernoulli', BINARY, _bernoulli),
  'continuous_bernoulli': Likelihood(
    'continuous Bernoulli', UNIT, _continuous_bernoulli
  ),
  'normal': Likelihood(
    'normal (sigma learned)', REALS, _normal, statistics=('data_scale',)
  ),
  'normal_fixed': Likelihood(
    'normal (sigma = {sigma:g})', REALS, _normal_fixed, options=('sigma',)
  ),
  'normal_optimal': Likelihood(
    'normal (sigma optimal for each batch, in closed form)',
    REALS,
    _normal_optimal,
    fits_sigma=True,
  ),
  'discretised_logistic': Likelihood(
    'discretised logistic', PIXELS, _discretised_logistic
  ),
  'categorical': Likelihood(
    'categorical over 256 levels', PIXELS, _categorical
  ),
}


def _logit(mean: np.ndarray) -> np.ndarray:
  # A pixel that is always off would start at -inf and never learn.
  mean = np.clip(mean, 0.001, 0.999)
  return np.log(mean) - np.log1p(-mean)


def _continuous_logit(mean: np.ndarray) -> np.ndarray:
  """Returns logits at which the continuous Bernoulli has this mean."""
  # The mean increases with the logit and its inverse has no closed form: a
  # table, which ends at means 0.01 and 0.99 so that every pixel can learn.
  logits = np.sinh(np.linspace(-5.3, 5.3, 2001))
  return np.interp(mean, ContinuousBernoulli(logits).mean(), logits)
