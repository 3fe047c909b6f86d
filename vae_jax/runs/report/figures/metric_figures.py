"""Figures of metrics: learning curve, NLL against K, KL, posterior means."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vae_jax import plots
from vae_jax.evaluate import Latents
from vae_jax.io import logger
from vae_jax.runs.report.figures.drawn import Drawn, Skipped

# More bars take minutes to draw, and none could be seen.
_MAX_BARS = 500
# Bounds of a semi-supervised run.
_WORDS = {
  'labelled_elbo': 'ELBO of x and y',
  'unlabelled_elbo': 'ELBO of x, y summed out',
}


def learning_curve(
  records: Sequence[dict[str, Any]], num_samples: int = 1
) -> Drawn | Skipped:
  """Draws the bounds of the training and validation splits by epoch.

  The training objective is logged under its own name, such as iw_elbo. The
  validation split is drawn with the same bound where it is logged.

  Args:
    records: Lines of metrics.jsonl.
    num_samples: K of the training objective.
  """
  curves: dict[str, plots.Line] = {}
  for split in ('train', 'validation'):
    lines = [r for r in records if r['split'] == split]
    bounds = sorted({name for r in lines for name in r if name[-4:] == 'elbo'})
    # A bound of several samples is not compared with one of a single sample.
    weighted = [name for name in bounds if name != 'elbo']
    for name in weighted or bounds:
      points = [
        (r['epoch'], r[name])
        for r in lines
        if logger.is_finite(r.get(name)) and logger.is_finite(r['epoch'])
      ]
      if points:
        label = f'{split}, {_bound(name, num_samples)}'
        epochs, values = zip(*points, strict=True)
        curves[label] = list(epochs), list(values)
  if not curves:
    reason = 'metrics.jsonl has no bound by epoch'
    return Skipped('learning_curve', reason, is_expected=False)
  return Drawn(
    'learning_curve',
    plots.learning_curve('bound', curves),
    'Bound by epoch, in nats; higher is better.',
  )


def _bound(name: str, num_samples: int) -> str:
  """Returns the words for a metric that is a bound."""
  if name in _WORDS:
    return _WORDS[name]
  k = '' if name == 'elbo' else f' of K = {num_samples}'
  return f'{name.upper().replace("_", "-")}{k}'


def nll_curve(
  nll: Mapping[int, tuple[float, float]], split: str = 'test', given: str = ''
) -> Drawn:
  """Draws the NLL of a split against the number of importance samples K.

  Args:
    nll: Number of samples K -> mean and standard error, in nats.
    split: Name of the split.
    given: Words behind NLL, such as ' of x given y'.
  """
  words = f'{given}, {split} split' if given else f' of the {split} split'
  figure = plots.error_bars(
    f'Negative log-likelihood{words}',
    ('importance samples K', 'NLL (nats per example)'),
    nll,
  )
  return Drawn(
    'nll_curve',
    figure,
    'The estimate of -log p(x) decreases towards it as K grows. Bars: '
    'standard error over examples, which are the same at every K.',
  )


def kl_bars(
  latents: Latents, split: str = 'test', *, is_given: bool = False
) -> Drawn | Skipped:
  """Draws the KL of each latent dimension in decreasing order, by layer.

  Args:
    latents: Statistics of the latents of some examples.
    split: Name of their split.
    is_given: Whether the model is conditioned on y.
  """
  if len(latents.kl.mean) == 1 < len(latents.active):
    reason = 'the KL does not decompose over the units of z'
    return Skipped('kl_per_dimension', reason)
  order = _by_layer(latents)[:_MAX_BARS]
  places, active = np.arange(len(order)), latents.active_terms[order]
  masks = {'active': active, 'inactive': ~active}
  units = latents.active_units
  notes = [f'{units.sum()} of {len(units)} active']
  if len(latents.means) < 2:
    # The posterior mean of a single example has no variance.
    masks, notes = {'one example': np.ones_like(active)}, []
  if layers := latents.layers:
    masks = _masks_of_layers(latents, order)
    sums = (np.sum(latents.layer(name).kl.mean) for name in layers)
    notes += [
      f'{name} {total:.1f} nats'
      for name, total in zip(layers, sums, strict=True)
    ]
  if latents.informative is not None:
    notes.append(f'{latents.informative} with more than 0.1 nats')
  if len(order) < len(latents.kl.mean):
    notes.append(f'the {len(order)} largest')
  figure = plots.bars(
    f'KL of each latent unit: {", ".join(notes)}',
    _axes(latents, is_given),
    {
      name: plots.Bars(
        places[mask],
        latents.kl.mean[order][mask],
        latents.kl.standard_error[order][mask],
      )
      for name, mask in masks.items()
    },
    _labels(latents, order),
  )
  return Drawn(
    'kl_per_dimension',
    figure,
    f'KL divergence of each latent unit, averaged over {split} examples, with '
    'standard errors. A unit is inactive if the variance of its posterior '
    'mean is at most 0.01.',
  )


def _by_layer(latents: Latents) -> np.ndarray:
  """Returns the KL terms, largest first, one layer after the other."""
  order = np.argsort(-latents.kl.mean)
  names = [label.split('[')[0] for label in latents.sizes]
  if not latents.layers:
    return order
  layer = np.array([names.index(name) for name in names])
  return order[np.argsort(layer[order], kind='stable')]


def _masks_of_layers(
  latents: Latents, order: np.ndarray
) -> dict[str, np.ndarray]:
  """Returns the active terms of each layer, and the inactive ones."""
  names = np.array([label.split('[')[0] for label in latents.sizes])[order]
  active = latents.active_terms[order]
  masks = {
    f'{name}, active': active & (names == name) for name in latents.layers
  }
  return masks | {'inactive': ~active}


def _axes(latents: Latents, is_given: bool) -> tuple[str, str]:
  if not latents.layers:
    q, p = ('q(z_j|x, y)', 'p(z_j|y)') if is_given else ('q(z_j|x)', 'p(z_j)')
    return 'latent unit j, by its KL', f'E[KL({q} || {p})] (nats)'
  return (
    'latent unit j of each layer, by its KL',
    'E[log q(z_j|...) - log p(z_j|...)] (nats)',
  )


def _labels(latents: Latents, order: np.ndarray) -> list[str]:
  if not latents.layers:
    return [str(unit) for unit in order]
  labels = [*latents.sizes]
  return [labels[unit].split('[')[-1].rstrip(']') for unit in order]


def posterior_means(
  latents: Latents,
  labels: np.ndarray,
  split: str = 'test',
  *,
  is_given: bool = False,
) -> Drawn | Skipped:
  """Draws posterior means in two dimensions, coloured by label.

  Args:
    latents: Statistics of the latents of N examples; their means are projected
      on two principal components if Z > 2.
    labels: Labels of the same examples, `[N]`.
    split: Name of their split.
    is_given: Whether the model is conditioned on y.
  """
  if not latents.active.any():
    # The share of a component in no variance would say nothing.
    reason = 'no latent unit is active: all posterior means are nearly equal'
    return Skipped('posterior_means', reason)
  z = ', '.join(latents.layers) or 'z'
  units = [*latents.sizes] if latents.layers else ['z[0]', 'z[1]']
  given = ', y' if is_given else ''
  axes = [f'E[{unit}|x{given}]' for unit in units]
  points, names, projection = _to_plane(latents.means, labels, axes)
  if latents.has_labels:
    projection = f', {len(latents.sizes)} one-hot labels on a plane'
  is_nominal = latents.means.shape[1] == 1 and labels.dtype.kind != 'f'
  figure = plots.scatter(
    f'Posterior means E[{z}|x{given}] of {split} examples{projection}',
    names,
    points,
    labels,
    rows=[str(label) for label in np.unique(labels)] if is_nominal else (),
  )
  return Drawn(
    'posterior_means',
    figure,
    'Posterior means, coloured by label. The model was '
    + ('given the condition y.' if is_given else 'not given the labels.'),
  )


def _to_plane(
  means: np.ndarray, labels: np.ndarray, axes: list[str]
) -> tuple[np.ndarray, tuple[str, str], str]:
  """Returns `[N, 2]` points, the names of the axes, a note for the title."""
  size = means.shape[1]
  if size == 1:
    places = labels
    if labels.dtype.kind != 'f':
      _, places = np.unique(labels, return_inverse=True)
    both = np.stack([means[:, 0], places], axis=-1)
    return both, (axes[0], 'label'), ''
  if size == 2:
    return means, (axes[0], axes[1]), ''
  centred = np.asarray(means - means.mean(axis=0), np.float64)
  _, spread, directions = np.linalg.svd(centred, full_matrices=False)
  share = spread**2 / max(np.sum(spread**2), np.finfo(float).tiny)
  first, second = (
    f'{name} principal component ({part:.0%} of the variance)'
    for name, part in zip(('first', 'second'), share, strict=False)
  )
  # Two examples lie on a line: the rest is rounding.
  points = np.where(share[:2] > 1e-12, centred @ directions[:2].T, 0)
  return (
    points,
    (first, second),
    f', {size} units on a plane',
  )
