"""Vectors drawn from a known model, on which every estimate has its truth."""

from collections.abc import Mapping

import numpy as np

from vae_jax.data.split import Split
from vae_jax.linear_gaussian import LinearGaussian

_NUM_TRAIN, _NUM_TEST = 6000, 1000
_DATA_DIM = 10
# The singular values of W, apart from one another so that its columns are
# found and not any rotation of them.
_SINGULAR_VALUES = np.array([4.0, 2.8, 2.0, 1.4])
_SCALE = 0.5


def true_linear_gaussian() -> LinearGaussian:
  """Returns the model of 10 dimensions and 4 latents behind the set, float64.

  The columns of W are cosines (a DCT-II without its constant), orthogonal by
  construction, and scaled to the singular values.
  """
  position = (np.arange(_DATA_DIM)[:, None] + 0.5) / _DATA_DIM
  frequency = np.arange(1, len(_SINGULAR_VALUES) + 1)[None, :]
  basis = np.sqrt(2 / _DATA_DIM) * np.cos(np.pi * position * frequency)
  loc = np.linspace(-1.0, 2.0, _DATA_DIM)
  return LinearGaussian(basis * _SINGULAR_VALUES, loc, np.log(_SCALE))


def read_linear_gaussian() -> Mapping[str, Split]:
  """Draws 6,000 training and 1,000 test vectors, the same in every run."""
  weights, loc, log_scale = map(np.asarray, true_linear_gaussian())
  # RandomState's stream is frozen by NumPy's policy; default_rng's is not.
  draw = np.random.RandomState(0).standard_normal
  count = _NUM_TRAIN + _NUM_TEST
  z, eps = draw((count, weights.shape[1])), draw((count, len(loc)))
  x = (z @ weights.T + loc + np.exp(log_scale) * eps).astype(np.float32)
  return {
    'train': Split(x[:_NUM_TRAIN], None),
    'test': Split(x[_NUM_TRAIN:], None),
  }
