"""Figures of arrays; `to_png` renders one, and nothing here writes a file."""

import importlib.util
from typing import TYPE_CHECKING, Any

from vae_jax.errors import needs

# A command without it should end before a training and not after.
with needs():
  if importlib.util.find_spec('matplotlib') is None:
    raise ModuleNotFoundError(name='matplotlib')

from vae_jax.plots.bars import Bars, bars
from vae_jax.plots.curves import Line, curves, error_bars, learning_curve
from vae_jax.plots.histograms import histograms
from vae_jax.plots.images import image_grid, image_rows, thumbnails
from vae_jax.plots.intervals import intervals
from vae_jax.plots.scatter import scatter
from vae_jax.plots.signal_to_noise import signal_to_noise
from vae_jax.plots.style import to_png

if TYPE_CHECKING:
  from matplotlib.figure import Figure

__all__ = (
  'Bars',
  'Figure',
  'Line',
  'bars',
  'curves',
  'error_bars',
  'histograms',
  'image_grid',
  'image_rows',
  'intervals',
  'learning_curve',
  'scatter',
  'signal_to_noise',
  'thumbnails',
  'to_png',
)


def __getattr__(name: str) -> Any:
  # As in figure.py, where an annotation needs no class.
  if name == 'Figure':
    from matplotlib.figure import Figure

    return Figure
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
