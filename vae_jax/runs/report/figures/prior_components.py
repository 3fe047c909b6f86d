"""The components of a mixture prior, decoded."""

import math
from typing import Any

import jax
import numpy as np

from vae_jax import plots
from vae_jax.distributions import Mixture
from vae_jax.models.quick_jit import quick_jit
from vae_jax.runs.report.figures.drawn import Drawn
from vae_jax.runs.report.figures.image_model import Model

# Images per row; components of a grid, and of one below its pseudo-inputs.
_COLUMNS = 16
_MOST, _MOST_PAIRS = 256, 64


def has_components(model: Model) -> bool:
  """Returns whether p(z) is a mixture whose components have means."""
  prior = model.prior
  return isinstance(prior, Mixture) and prior.components.has_moments


def prior_components(model: Model) -> Drawn:
  """Draws E[x | z] at the mean z of each component of p(z).

  They are in decreasing order of their weights. Those of a VampPrior stand
  below their pseudo-inputs.

  References:
    Tomczak and Welling 2018, VAE with a VampPrior, figure 3.
  """
  prior: Any = model.prior
  inputs = model.pseudo_inputs
  most = _MOST if inputs is None else _MOST_PAIRS
  order = np.argsort(-np.asarray(prior.logits), kind='stable')[:most]
  means = quick_jit(lambda p: jax.vmap(lambda each: each.mean())(p.components))
  decoded = model.decode(np.asarray(means(prior))[order])
  total = len(prior.logits)
  each = (
    f'each of {total}' if len(order) == total else f'{len(order)} of {total}'
  )
  title = f'{model.of_z}, {model.latent} the mean of {each} components of p(z)'
  if model.condition:
    title += f', y of the first {model.split} image'
  if inputs is None:
    columns = min(_COLUMNS, math.ceil(math.sqrt(2 * len(order))))
    figure = plots.image_grid(title, decoded, columns)
    caption = 'Means of p(x|z) at the mean of each component of the prior.'
  else:
    shown = _rows(plots.thumbnails(inputs[order]))
    pairs = zip(shown, _rows(decoded), strict=True)
    rows = np.concatenate([np.stack(pair) for pair in pairs])
    names = ('pseudo-input', 'E[x | z]') * (len(rows) // 2)
    figure = plots.image_rows(title, rows, rows=names)
    caption = 'Pseudo-inputs u of the prior, and means of p(x|z) at E q(z|u).'
  return Drawn('prior_components', figure, caption + model.note)


def _rows(tiles: np.ndarray) -> np.ndarray:
  """Cuts tiles `[N, ...]` into rows `[R, 16, ...]`, the last filled white."""
  columns = min(_COLUMNS, len(tiles))
  missing = -len(tiles) % columns
  pad = [(0, missing), *[(0, 0)] * (tiles.ndim - 1)]
  padded = np.pad(tiles, pad, constant_values=1.0)
  return padded.reshape(-1, columns, *tiles.shape[1:])
