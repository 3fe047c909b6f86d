"""Equal-mass buckets of the prior N(0, 1), over which z is discretised.

A bucket is coded as a group of 2^(bits / 2) neighbours and a place within it.
Entropy coders give each symbol a least frequency: over all buckets at once,
these would move a share of q(z|x) to z that do not explain x.
"""

import numpy as np
from scipy import special

# Added to each mass: far from q, all masses of a group may underflow to 0.
_LEAST = 1e-30


def centres(latent_bits: int) -> np.ndarray:
  """Returns the median of N(0, 1) within each bucket, `[2^bits]` float32.

  z_i = Phi^-1((i + 1/2) / n), n = 2^bits.

  Args:
    latent_bits: log2 of the number of buckets per latent dimension.
  """
  count = 2**latent_bits
  middle = (np.arange(count) + 0.5) / count
  return special.ndtri(middle).astype(np.float32)


def group_size(latent_bits: int) -> int:
  """Returns the number of buckets per group, 2^floor(bits / 2)."""
  return 2 ** (latent_bits // 2)


def group_masses(
  loc: np.ndarray, log_scale: np.ndarray, latent_bits: int
) -> np.ndarray:
  """Computes the mass of N(loc, exp(log_scale)^2) in each group of buckets.

  P_i = F(b_{i+1}) - F(b_i), b_i = Phi^-1(i / n), n groups.

  Args:
    loc: means, `[Z]`.
    log_scale: logs of the standard deviations, `[Z]`.
    latent_bits: log2 of the number of buckets per latent dimension.

  Returns:
    `[Z, groups]` float32.
  """
  groups = 2**latent_bits // group_size(latent_bits)
  return _masses(loc, log_scale, np.arange(groups + 1)[None] / groups)


def masses_within(
  loc: np.ndarray, log_scale: np.ndarray, latent_bits: int, group: np.ndarray
) -> np.ndarray:
  """Computes the mass of N(loc, exp(log_scale)^2) in the buckets of a group.

  Args:
    loc: means, `[Z]`.
    log_scale: logs of the standard deviations, `[Z]`.
    latent_bits: log2 of the number of buckets per latent dimension.
    group: group of each dimension, `[Z]`.

  Returns:
    `[Z, group_size]` float32, up to a factor per dimension.
  """
  size = group_size(latent_bits)
  bucket = group[:, None].astype(np.int64) * size + np.arange(size + 1)
  return _masses(loc, log_scale, bucket / 2**latent_bits)


def _masses(
  loc: np.ndarray, log_scale: np.ndarray, edges: np.ndarray
) -> np.ndarray:
  """Returns the masses between quantiles of N(0, 1), `[Z, n]` of `[Z, n + 1]`.

  They are relative to their sum, so that none underflows in float32.
  """
  scale = np.exp(np.asarray(log_scale, np.float64))[:, None]
  deviation = special.ndtri(edges) - np.asarray(loc, np.float64)[:, None]
  below = special.ndtr(deviation / scale)
  masses = np.diff(below, axis=1) + _LEAST
  return (masses / masses.sum(axis=1, keepdims=True)).astype(np.float32)
