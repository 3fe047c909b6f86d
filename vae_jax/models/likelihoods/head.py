"""Rows of the table of likelihoods, and the heads that they build."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from vae_jax.distributions import Distribution
from vae_jax.types import Array, ArrayLike, Key, Params

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
    make: `make(params, output) -> p(x|z)`; with a size factor
      `make(params, output, s) -> p(x|z, s)`.
    init: `init(key) -> params`, a dict of what is learned beside the network.
    encoder_input: x -> the array of the same shape that the encoder sees.
    size: x -> s, an observed size factor; None without one.
  """

  output_shape: tuple[int, ...]
  output_bias: ArrayLike
  make: Callable[..., Distribution]
  init: Callable[[Key], Params] = _no_params
  encoder_input: Callable[[Array], Array] = lambda x: x
  size: Callable[[Array], Array] | None = None


class Likelihood(NamedTuple):
  """A row of `LIKELIHOODS`: a family of p(x|z).

  Attributes:
    words: the family in a sentence; `{option}` stands for an option's value.
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
