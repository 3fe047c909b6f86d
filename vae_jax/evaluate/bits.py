"""The likelihood of 8-bit pixels as a code length."""

import math


def bits_per_dimension(
  nats: float, error: float, size: int, *, dequantised: bool
) -> tuple[float, float]:
  """Returns an NLL in bits for each 8-bit pixel, and its standard error.

  NLL / (D log 2) of a discrete law of the 256 levels. Of the density of
  x = (pixel + u) / 256, u ~ Uniform(0, 1), plus log2 256 = 8 for each pixel:
  no less than the bits of the discrete law that it makes of whole levels.

  Args:
    nats: NLL of an example, summed over its dimensions.
    error: standard error of `nats`.
    size: D.
    dequantised: whether it is of a density, of x as `data.dequantise` draws.

  References:
    Theis, van den Oord and Bethge 2016, A Note on the Evaluation of Generative
    Models, section 3.1.
  """
  unit = size * math.log(2)
  return nats / unit + (8.0 if dequantised else 0.0), error / unit
