"""Likelihoods of 8-bit pixels."""

import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import (
  CategoricalPixels,
  DiscretisedLogistic,
  DiscretisedLogisticMixture,
)
from vae_jax.models.likelihoods.head import Head, Mean
from vae_jax.models.straight_through import clip_straight_through
from vae_jax.types import Array, Params

# A logistic of standard deviation 0.25, for pixels in [0, 1].
_LOG_SCALE = -2.0
# Distance of the outermost components of a mixture from the mean pixel.
_SPREAD = 0.25


def discretised_logistic(shape: tuple[int, ...], mean: Mean) -> Head:
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


def categorical(shape: tuple[int, ...], mean: Mean) -> Head:
  """p(x|z) = CategoricalPixels(logits(z)), 256 logits per 8-bit pixel.

  It starts at the discretised logistic's initial probabilities, in which
  neighbouring levels are alike.
  """
  start = discretised_logistic(shape, mean)
  p = start.make({}, jnp.asarray(start.output_bias, float))
  assert isinstance(p, DiscretisedLogistic)
  bias = np.asarray(p.log_probabilities)
  return Head(bias.shape, bias, lambda _, logits: CategoricalPixels(logits))


def discretised_logistic_mixture(
  shape: tuple[int, ...], mean: Mean, *, num_mixtures: int
) -> Head:
  """p(x|z) = DiscretisedLogisticMixture, x an 8-bit pixel of C channels.

  The last axis of x holds the channels. The output has 1 + 2 C numbers per
  pixel and component: its logit, C locations and C log-scales. The components
  start around the mean example, so that they differ.
  """
  *pixels, channels = shape
  loc = np.full(shape, 0.5) if mean is None else np.asarray(mean)
  offsets = _SPREAD * (2 * (np.arange(num_mixtures) + 0.5) / num_mixtures - 1)
  each = (*pixels, num_mixtures)
  bias = np.concatenate(
    [
      np.zeros((*each, 1)),
      loc[..., None, :] + offsets[:, None],
      np.full((*each, channels), _LOG_SCALE),
    ],
    axis=-1,
  )

  def make(_: Params, output: Array) -> DiscretisedLogisticMixture:
    logits, loc, log_scale = jnp.split(output, (1, 1 + channels), axis=-1)
    return DiscretisedLogisticMixture(
      logits[..., 0], loc, clip_straight_through(log_scale)
    )

  return Head(bias.shape, bias, make)
