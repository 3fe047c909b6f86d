"""Images of a run as pictures in [0, 1], or the reason why there are none."""

from typing import Any

import numpy as np

from vae_jax.models import LIKELIHOODS
from vae_jax.models.supports import COUNTS, REALS
from vae_jax.runs.load import LoadedRun

# A normal p(x|z) of pixels has means a little beyond [0, 1].
_MARGIN = 0.5
# Images that one picture shows, at most.
MOST = 256


def undrawable(run: LoadedRun, x: np.ndarray) -> str:
  """Returns why numbers cannot be drawn as images; '' where they can.

  Args:
    run: the run.
    x: means of p(x|z), `[N, ...]`.
  """
  if len(run.data_shape) < 3:
    words = ' x '.join(map(str, run.data_shape))
    return f'x are rows of {words} numbers, not images'
  if run.statistics is not None:
    return 'x are standardised numbers, not levels of grey'
  low, high = float(np.nanmin(x)), float(np.nanmax(x))
  if _support(run) == REALS and not -_MARGIN <= low <= high <= 1 + _MARGIN:
    return f'x are real numbers from {low:.3g} to {high:.3g}, beyond [0, 1]'
  return ''


def white_of(run: LoadedRun, stored: np.ndarray) -> float:
  """Returns the number that is drawn white: 1, or the largest of counts."""
  if _support(run) == COUNTS:
    return max(1.0, float(np.nanmax(stored)))
  return 1.0


def as_picture(x: Any, white: float = 1.0) -> np.ndarray:
  """Returns images in [0, 1]; missing pixels are black."""
  x = np.asarray(x)
  white = 255.0 if x.dtype == np.uint8 else white
  return np.clip(np.nan_to_num(x.astype(np.float64)) / white, 0, 1)


def _support(run: LoadedRun) -> str:
  return LIKELIHOODS[run.config.model.likelihood].support
