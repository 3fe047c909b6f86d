"""The latent plane of a model of images, decoded on a grid."""

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import plots
from vae_jax.models.quick_jit import quick_jit
from vae_jax.runs.report.figures.drawn import Drawn
from vae_jax.runs.report.figures.image_model import Model
from vae_jax.runs.report.figures.quantiles import QUANTILES

# Images per row and column.
_SIDE = 16


def latent_manifold(model: Model) -> Drawn:
  """Draws the decoded latent plane on a grid of prior quantiles.

  References:
    Kingma and Welling 2014, Auto-Encoding Variational Bayes, figure 4.
  """
  quantile = QUANTILES[type(model.prior)]
  u = (np.arange(_SIDE, dtype=jnp.result_type(float)) + 0.5) / _SIDE
  grid = np.stack([x.ravel() for x in np.meshgrid(u, u[::-1])], axis=-1)
  place = quick_jit(jax.vmap(quantile, (None, 0)))
  z = np.asarray(place(model.prior, jax.device_put(grid)))
  first, second = (f'{model.latent}[{i}], by prior quantile' for i in (0, 1))
  figure = plots.image_grid(
    f'{model.of_z} over the latent plane'
    + (f', y of the first {model.split} image' if model.condition else ''),
    model.decode(z),
    _SIDE,
    labels=(first, second),
  )
  return Drawn(
    'latent_manifold',
    figure,
    f'The latent plane, in equal steps of prior probability.{model.note}',
  )
