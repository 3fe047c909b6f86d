"""Bits per dimension of 8-bit images."""

import math

from vae_jax.distributions import _shapes
from vae_jax.evaluate.statistics import Estimate


def bits_per_dimension(
  nll: Estimate, size: int, *, dequantised: bool
) -> Estimate:
  """Converts an NLL in nats into bits per 8-bit pixel.

  NLL / (D log 2) for a probability mass over the 256 levels. For a density of
  x = (pixel + u) / 256, u ~ Uniform(0, 1), it is larger by log2 256 = 8, and an
  upper bound on the bits of the mass that the density gives each level.

  Args:
    nll: NLL of an example in nats, summed over its dimensions.
    size: number of dimensions, D.
    dequantised: whether the NLL is that of a density of x as drawn by
      `data.dequantise`.

  Returns:
    `Estimate` in bits per dimension.

  References:
    Theis, van den Oord and Bethge 2016, A Note on the Evaluation of Generative
    Models, section 3.1.

  Examples:
    >>> nll = vj.Estimate(64 * np.log(2), 0.0)  # of 64 pixels
    >>> print(f'{bits_per_dimension(nll, 64, dequantised=False).mean:.3f}')
    1.000
  """
  _shapes.assert_rank(list(nll), 0)
  unit = size * math.log(2)
  offset = 8.0 if dequantised else 0.0
  return Estimate(nll.mean / unit + offset, nll.standard_error / unit)
