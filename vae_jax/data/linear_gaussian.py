"""Synthetic dataset of a linear-Gaussian model (probabilistic PCA).

log p(x) and p(z|x) have closed forms, with which estimates can be compared.
"""

from collections.abc import Mapping

import numpy as np

from vae_jax.data.split import Split
from vae_jax.models.linear_gaussian import LinearGaussian

_NUM_TRAIN, _NUM_TEST = 6000, 1000
_DATA_DIM = 10
# Singular values of W. They are distinct, so that the columns of W are
# identifiable; equal values would admit any rotation.
_SINGULAR_VALUES = np.array([4.0, 2.8, 2.0, 1.4])
_SCALE = 0.5


def true_linear_gaussian() -> LinearGaussian:
  """Returns the generating model: 10 dimensions, 4 latents, float64.

  The columns of W are cosines (a DCT-II without its constant): they are
  orthogonal, and scaled to the singular values.
  """
  position = (np.arange(_DATA_DIM)[:, None] + 0.5) / _DATA_DIM
  frequency = np.arange(1, len(_SINGULAR_VALUES) + 1)[None, :]
  basis = np.sqrt(2 / _DATA_DIM) * np.cos(np.pi * position * frequency)
  loc = np.linspace(-1.0, 2.0, _DATA_DIM)
  return LinearGaussian(basis * _SINGULAR_VALUES, loc, np.log(_SCALE))


def read_linear_gaussian() -> Mapping[str, Split]:
  """Draws 6,000 training and 1,000 test vectors with a fixed seed."""
  weights, loc, log_scale = map(np.asarray, true_linear_gaussian())
  # NumPy guarantees the stream of RandomState, but not that of default_rng.
  draw = np.random.RandomState(0).standard_normal
  count = _NUM_TRAIN + _NUM_TEST
  z, eps = draw((count, weights.shape[1])), draw((count, len(loc)))
  x = (z @ weights.T + loc + np.exp(log_scale) * eps).astype(np.float32)
  return {
    'train': Split(x[:_NUM_TRAIN], None),
    'test': Split(x[_NUM_TRAIN:], None),
  }
