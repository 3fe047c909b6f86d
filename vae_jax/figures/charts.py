"""What was measured of a run, drawn: its curves and its latents."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vae_jax import plots
from vae_jax.evaluate import Latents

Drawn = tuple[pathlib.Path, str]


def learning_curve(
  folder: pathlib.Path, records: Sequence[dict[str, Any]]
) -> Drawn:
  """Draws the bound of each epoch."""
  curves = {}
  train = [r for r in records if r['split'] == 'train']
  # The bound that is climbed, under its own name.
  climbed = sorted({name for r in train for name in r if name[-4:] == 'elbo'})
  lines = [('train', name) for name in climbed]
  for split, metric in (*lines, ('validation', 'elbo')):
    there = [r for r in records if r['split'] == split and metric in r]
    if there:
      label = f'{split}, {metric.upper().replace("_", "-")}'
      curves[label] = [r['epoch'] for r in there], [r[metric] for r in there]
  path = plots.learning_curve(folder / 'learning_curve.png', 'bound', curves)
  return path, 'The bound of every epoch, in nats; higher is better.'


def nll_curve(
  folder: pathlib.Path, nll: Mapping[int, tuple[float, float]]
) -> Drawn:
  """Draws K -> (mean, standard error)."""
  path = plots.error_bars(
    folder / 'nll_curve.png',
    'Negative log-likelihood of the test split',
    ('importance samples K', 'NLL (nats an example)'),
    nll,
  )
  return path, (
    'The estimate of -log p(x) falls to it as K rises; bars: standard error '
    'over the examples, the same ones at every K.'
  )


def kl_bars(folder: pathlib.Path, latents: Latents) -> Drawn:
  """Draws the KL of every unit of z, the largest first."""
  order = np.argsort(-latents.kl)
  places, active = np.arange(len(order)), latents.active[order]
  groups = {
    name: plots.Bars(
      places[there],
      latents.kl[order][there],
      latents.kl_standard_error[order][there],
    )
    for name, there in (('active', active), ('dead', ~active))
    if there.any()
  }
  path = plots.bars(
    folder / 'kl_per_dimension.png',
    f'KL of each latent unit: {active.sum()} of {len(order)} active',
    ('latent unit j, by its KL', 'E[KL(q(z_j|x) || p(z_j))] (nats)'),
    groups,
    [str(unit) for unit in order],
  )
  return path, (
    'What each latent unit tells of x, on average over test examples, with '
    'standard errors; a unit is dead where the variance of its posterior mean '
    'is at most 0.01.'
  )


def posterior_means(
  folder: pathlib.Path, means: np.ndarray, labels: np.ndarray
) -> Drawn:
  """Draws `[N, Z]` posterior means on a plane, coloured by their labels."""
  points, names, where = _plane(means, labels)
  path = plots.scatter(
    folder / 'posterior_means.png',
    f'Posterior means E[z|x] of test examples{where}',
    names,
    points,
    labels,
  )
  return path, (
    'Where the encoder puts examples of each label, which it never saw.'
  )


def _plane(
  means: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, tuple[str, str], str]:
  """Returns `[N, 2]`, the names of the two axes, and how they came about."""
  size = means.shape[1]
  if size == 1:
    _, index = np.unique(labels, return_inverse=True)
    both = np.stack([means[:, 0], index], axis=-1)
    return both, ('E[z[0]|x]', 'label'), ''
  if size == 2:
    return means, ('E[z[0]|x]', 'E[z[1]|x]'), ''
  centred = np.asarray(means - means.mean(axis=0), np.float64)
  _, spread, directions = np.linalg.svd(centred, full_matrices=False)
  share = spread**2 / max(np.sum(spread**2), np.finfo(float).tiny)
  first, second = (
    f'{name} principal component ({part:.0%} of the variance)'
    for name, part in zip(('first', 'second'), share, strict=False)
  )
  return (
    centred @ directions[:2].T,
    (first, second),
    f', {size} units on a plane',
  )
