"""Figures of metrics: learning curve, NLL against K, KL, posterior means."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vae_jax import plots
from vae_jax.evaluate import Latents
from vae_jax.runs.report.figures.drawn import Drawn


def learning_curve(records: Sequence[dict[str, Any]]) -> Drawn:
  """Draws the bounds of the training and validation splits by epoch."""
  curves = {}
  train = [r for r in records if r['split'] == 'train']
  # The training objective is logged under its own name, such as iw_elbo.
  bounds = sorted({name for r in train for name in r if name[-4:] == 'elbo'})
  lines = [('train', name) for name in bounds]
  for split, metric in (*lines, ('validation', 'elbo')):
    logged = [r for r in records if r['split'] == split and metric in r]
    if logged:
      label = f'{split}, {metric.upper().replace("_", "-")}'
      curves[label] = [r['epoch'] for r in logged], [r[metric] for r in logged]
  return Drawn(
    'learning_curve',
    plots.learning_curve('bound', curves),
    'Bound by epoch, in nats; higher is better.',
  )


def nll_curve(nll: Mapping[int, tuple[float, float]]) -> Drawn:
  """Draws the NLL against the number of importance samples K."""
  figure = plots.error_bars(
    'Negative log-likelihood of the test split',
    ('importance samples K', 'NLL (nats per example)'),
    nll,
  )
  return Drawn(
    'nll_curve',
    figure,
    'The estimate of -log p(x) decreases towards it as K grows. Bars: '
    'standard error over examples, which are the same at every K.',
  )


def kl_bars(latents: Latents) -> Drawn:
  """Draws the KL of each latent dimension in decreasing order."""
  order = np.argsort(-latents.kl.mean)
  places, active = np.arange(len(order)), latents.active_terms[order]
  groups = {
    name: plots.Bars(
      places[mask],
      latents.kl.mean[order][mask],
      latents.kl.standard_error[order][mask],
    )
    for name, mask in (('active', active), ('inactive', ~active))
    if mask.any()
  }
  figure = plots.bars(
    f'KL of each latent unit: {latents.active.sum()} of '
    f'{len(latents.active)} active',
    ('latent unit j, by its KL', 'E[KL(q(z_j|x) || p(z_j))] (nats)'),
    groups,
    [str(unit) for unit in order],
  )
  return Drawn(
    'kl_per_dimension',
    figure,
    'KL divergence of each latent unit, averaged over test examples, with '
    'standard errors. A unit is inactive if the variance of its posterior '
    'mean is at most 0.01.',
  )


def posterior_means(means: np.ndarray, labels: np.ndarray) -> Drawn:
  """Draws posterior means in two dimensions, coloured by label.

  Args:
    means: E[z|x] of N examples, `[N, Z]`; projected on two principal
      components if Z > 2.
    labels: Labels of the examples, `[N]`.
  """
  points, names, projection = _to_plane(means, labels)
  figure = plots.scatter(
    f'Posterior means E[z|x] of test examples{projection}',
    names,
    points,
    labels,
  )
  return Drawn(
    'posterior_means',
    figure,
    'Posterior means, coloured by label. The model was not given the labels.',
  )


def _to_plane(
  means: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, tuple[str, str], str]:
  """Returns `[N, 2]` points, the names of the axes, a note for the title."""
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
