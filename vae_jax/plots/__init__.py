"""Figures that people look at: arrays in, PNG files out."""

from vae_jax.plots.curves import Line, curves, error_bars, learning_curve
from vae_jax.plots.images import image_grid, image_rows
from vae_jax.plots.marks import Bars, bars, scatter

__all__ = (
  'Bars',
  'Line',
  'bars',
  'curves',
  'error_bars',
  'image_grid',
  'image_rows',
  'learning_curve',
  'scatter',
)
