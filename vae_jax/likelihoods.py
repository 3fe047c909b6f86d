"""What the numbers that a decoder gives mean: p(x|z)."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from vae_jax.config import Config
from vae_jax.distributions import Bernoulli, Distribution, Normal
from vae_jax.types import Array, ArrayLike, Params


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
  return LIKELIHOODS[config.likelihood](data_shape, data_mean)


def _bernoulli(shape: tuple[int, ...], mean: np.ndarray | None) -> Likelihood:
  """p(x|z) = Bernoulli(logits(z)), x in {0, 1}."""
  bias = 0.0 if mean is None else _logit(mean)
  return Likelihood(shape, bias, dict, lambda _, logits: Bernoulli(logits))


def _normal(shape: tuple[int, ...], mean: np.ndarray | None) -> Likelihood:
  """p(x|z) = N(mean(z), sigma^2), log sigma one number for every x and z."""
  return Likelihood(
    shape,
    0.0 if mean is None else mean,
    lambda: {'log_scale': jnp.zeros(())},
    lambda params, loc: Normal(loc, params['log_scale']),
  )


LIKELIHOODS = {'bernoulli': _bernoulli, 'normal': _normal}


def _logit(mean: np.ndarray) -> np.ndarray:
  # A pixel that is always off would start at -inf and never learn.
  mean = np.clip(mean, 0.001, 0.999)
  return np.log(mean) - np.log1p(-mean)
