"""Equal-mass buckets of the prior N(0, 1), over which z is discretised."""

import numpy as np
from scipy import special


def centres(latent_bits: int) -> np.ndarray:
  """Returns the median of N(0, 1) within each bucket, `[2^bits]` float32.

  z_i = Phi^-1((i + 1/2) / n), n = 2^bits.

  Args:
    latent_bits: log2 of the number of buckets per latent dimension.
  """
  count = 2**latent_bits
  middle = (np.arange(count) + 0.5) / count
  return special.ndtri(middle).astype(np.float32)


def normal_masses(
  loc: np.ndarray, log_scale: np.ndarray, latent_bits: int
) -> np.ndarray:
  """Computes the mass of N(loc, exp(log_scale)^2) in each bucket.

  P_i = F(b_{i+1}) - F(b_i), b_i = Phi^-1(i / n), n = 2^bits.

  Args:
    loc: means, `[Z]`.
    log_scale: logs of the standard deviations, `[Z]`.
    latent_bits: log2 of the number of buckets per latent dimension.

  Returns:
    `[Z, 2^bits]` float32.
  """
  count = 2**latent_bits
  inner = special.ndtri(np.arange(1, count) / count)
  scale = np.exp(np.asarray(log_scale, np.float64))
  from_mean = inner - np.asarray(loc, np.float64)[:, None]
  below = special.ndtr(from_mean / scale[:, None])
  masses = np.diff(below, axis=1, prepend=0.0, append=1.0)
  return masses.astype(np.float32)
