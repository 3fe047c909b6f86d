"""The figures of a run: what its model makes of images and of its prior."""

import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import plots
from vae_jax.evaluate import evaluation_keys
from vae_jax.model import VAE
from vae_jax.types import Array, Params

_SIDE = 16

Decode = Callable[[Array], Array]


def draw_all(
  folder: pathlib.Path,
  vae: VAE,
  params: Params,
  images: np.ndarray,
  prepared: np.ndarray,
  records: Sequence[dict[str, Any]],
) -> list[pathlib.Path]:
  """Draws every figure that the model admits; returns their paths.

  Args:
    folder: made if missing.
    vae: the model.
    params: its parameters.
    images: uint8 test images, `[N, H, W, C]`; of vectors, `[N, D]`, there
      are no pictures.
    prepared: the same as the likelihood takes them.
    records: the lines of metrics.jsonl.
  """
  paths = [_learning_curve(folder / 'learning_curve.png', records)]
  if images.ndim == 2:
    return paths
  decode = jax.jit(jax.vmap(lambda z: _shown(vae.decode(params, z).mean())))
  prior = vae.prior(params)
  paths += [
    _reconstructions(
      folder / 'reconstructions.png',
      functools.partial(vae.encode, params),
      decode,
      images[:_SIDE],
      prepared[:_SIDE],
    ),
    _prior_samples(folder / 'prior_samples.png', prior.sample, decode),
  ]
  if prior.shape == (2,):
    paths.append(_latent_manifold(folder / 'latent_manifold.png', decode))
  return paths


def _shown(mean: Array) -> Array:
  # That of a normal may lie outside black and white.
  return jnp.clip(mean, 0, 1)


def _learning_curve(
  path: pathlib.Path, records: Sequence[dict[str, Any]]
) -> pathlib.Path:
  curves = {}
  train = [r for r in records if r['split'] == 'train']
  # The bound that is climbed, under its own name.
  climbed = sorted({name for r in train for name in r if name[-4:] == 'elbo'})
  lines = [('train', name, f'train, {name}') for name in climbed]
  for split, metric, label in (*lines, ('validation', 'elbo', 'validation')):
    there = [r for r in records if r['split'] == split and metric in r]
    if there:
      curves[label] = [r['epoch'] for r in there], [r[metric] for r in there]
  return plots.learning_curve(path, 'ELBO', curves)


def _reconstructions(
  path: pathlib.Path,
  encode: Callable[[Array], Any],
  decode: Decode,
  images: np.ndarray,
  prepared: np.ndarray,
) -> pathlib.Path:
  x = jnp.asarray(prepared, jnp.float32)
  means = decode(jax.vmap(lambda x: encode(x).mean())(x))
  rows = {'original': images / 255}
  if prepared.dtype == np.uint8:
    rows['binarised'] = np.asarray(x)
  rows['reconstruction'] = np.asarray(means)
  title = 'Test images, as the encoder sees them, and E[x | z = E q(z|x)]'
  return plots.image_rows(path, title, rows)


def _prior_samples(
  path: pathlib.Path, draw: Callable[[Array], Array], decode: Decode
) -> pathlib.Path:
  keys = jax.random.split(evaluation_keys().figures, _SIDE**2)
  images = np.asarray(decode(jax.vmap(draw)(keys)))
  title = 'E[x | z], z drawn from the prior'
  return plots.image_grid(path, title, images, _SIDE)


def _latent_manifold(path: pathlib.Path, decode: Decode) -> pathlib.Path:
  """Kingma and Welling 2014, figure 4: equal steps of prior probability."""
  steps = (jnp.arange(_SIDE) + 0.5) / _SIDE
  quantiles = jax.scipy.special.ndtri(steps)
  first, second = jnp.meshgrid(quantiles, quantiles[::-1])
  z = jnp.stack([first.ravel(), second.ravel()], axis=-1)
  return plots.image_grid(
    path,
    'E[x | z] over the latent plane',
    np.asarray(decode(z)),
    _SIDE,
    gap=0,
    labels=('z[0], by prior quantile', 'z[1], by prior quantile'),
  )
