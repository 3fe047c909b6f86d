"""Figures of images: reconstructions, samples, latent traversals."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import plots
from vae_jax.data import Condition
from vae_jax.distributions import Bernoulli, Categorical, Chain
from vae_jax.evaluate import Latents, evaluation_keys, take
from vae_jax.models import LatentModel
from vae_jax.models.quick_jit import quick_jit
from vae_jax.runs.report.figures.conditional_figures import condition_samples
from vae_jax.runs.report.figures.drawn import (
  Drawn,
  Skipped,
  attempt,
  skip_failed,
)
from vae_jax.runs.report.figures.image_model import (
  Model,
  first_of,
  make_model,
)
from vae_jax.runs.report.figures.layers import top_of
from vae_jax.runs.report.figures.manifold import latent_manifold
from vae_jax.runs.report.figures.means import has_mean
from vae_jax.runs.report.figures.prior_components import (
  has_components,
  prior_components,
)
from vae_jax.runs.report.figures.quantiles import QUANTILES
from vae_jax.types import Params

# Images per row, and rows of a grid.
_SIDE = 16
# Interpolations: pairs of images, and weights t of the second image.
_PAIRS = 8
_WEIGHTS = np.linspace(0, 1, 11)
# Traversals: units, and quantiles of the prior. Binary units take two columns
# instead of 13, so that more of them fit.
_UNITS = 10
_BINARY_UNITS = 16
# Labels of a categorical unit, at most.
_LABELS = 16
_LEVELS = (0.01, 0.05, *np.arange(1, 10) / 10, 0.95, 0.99)

# Figures of decoded posterior means.
_OF_MEANS = ('reconstructions', 'interpolations', 'traversals')
# Figures of all layers of a hierarchy, and of its top layer.
_OF_ALL_LAYERS = ('reconstructions', 'prior_samples')
_OF_TOP = (
  'interpolations',
  'traversals',
  'latent_manifold',
  'prior_components',
)
_TRAVERSALS = 'Effect of single latent units, in decreasing order of their KL.'


def draw_all(
  model: LatentModel,
  params: Params,
  images: np.ndarray,
  preprocessed: Any,
  latents: Latents | None,
  split: str = 'test',
  condition: Condition | None = None,
) -> Iterator[Drawn | Skipped]:
  """Draws the figures of a model as `draw` does."""
  try:
    made = make_model(model, params, images, preprocessed, split, condition)
  except Exception as error:  # As in `attempt`.
    yield skip_failed('reconstructions', error)
    return
  if not isinstance(made.prior, Chain):
    yield from draw(made, latents)
    return
  first = first_of(preprocessed)
  yield from draw(made, latents, _OF_ALL_LAYERS)
  if has_mean(made.prior):
    top = top_of(made, lambda: model.condition(params, first))
    own = latents and latents.layer(top.latent)
    yield from draw(top, own, _OF_TOP)


def draw(
  model: Model, latents: Latents | None, only: tuple[str, ...] = ()
) -> Iterator[Drawn | Skipped]:
  """Draws every figure that the model admits; gives a reason for the others.

  Args:
    model: Model to draw.
    latents: Statistics of the latents; None if the model has none.
    only: Names of the figures to draw; empty for all.
  """
  skipped = _reasons(model, latents)
  for name, reason in skipped.items():
    if not only or name in only:
      yield Skipped(name, reason)
  figures: dict[str, Callable[[], Drawn]] = {
    'reconstructions': lambda: reconstructions(model),
    'prior_samples': lambda: prior_samples(model),
    'interpolations': lambda: interpolations(model),
  }
  if latents is not None:
    discrete = isinstance(model.prior, Bernoulli | Categorical)
    one_unit = discrete_traversals if discrete else traversals
    figures['traversals'] = lambda: one_unit(model, latents)
  plane = model.likelihood.has_moments and model.prior.shape == (2,)
  if plane and type(model.prior) in QUANTILES:
    figures['latent_manifold'] = lambda: latent_manifold(model)
  if model.likelihood.has_moments and has_components(model):
    figures['prior_components'] = lambda: prior_components(model)
  if model.condition:
    figures['condition_samples'] = lambda: condition_samples(model)
    del figures['prior_samples']
  for name, figure in figures.items():
    if name not in skipped and (not only or name in only):
      drawn = attempt(name, figure)
      if isinstance(drawn, Drawn):
        drawn = drawn._replace(caption=drawn.caption + model.at_size)
      yield drawn


def _reasons(model: Model, latents: Latents | None) -> dict[str, str]:
  """Returns the name of each figure that is not possible -> the reason."""
  found = _reasons_of_families(model, latents)
  if model.condition:
    found.setdefault('interpolations', 'its images differ in their condition')
  return found


def _reasons_of_families(
  model: Model, latents: Latents | None
) -> dict[str, str]:
  prior, p = model.prior, model.likelihood
  if not p.has_moments:
    reason = f'p(x|z), {p.name}, has no closed-form mean'
    samples = 'condition_samples' if model.condition else 'prior_samples'
    return dict.fromkeys((*_OF_MEANS, samples), reason)
  if not (isinstance(prior.shape, tuple) and len(prior.shape) == 1):
    return dict.fromkeys(('interpolations', 'traversals'), 'z is not a vector')
  discrete = isinstance(prior, Bernoulli | Categorical)
  if not discrete and type(prior) not in QUANTILES:
    reason = f'p(z), {prior.name}, has no quantile function'
    plane = ['latent_manifold'] if prior.shape == (2,) else []
    return dict.fromkeys(['traversals', *plane], reason)
  if latents is None:
    return {'traversals': 'the latents have no statistics'}
  if len(latents.kl.mean) != prior.shape[0]:
    return {'traversals': 'the KL does not decompose over the units of z'}
  return {}


def reconstructions(model: Model) -> Drawn:
  """Draws images above their reconstructions."""
  some = take(model.preprocessed, slice(_SIDE))
  rows = model.inputs(_SIDE)
  own = some if model.condition else None
  rows['reconstruction'] = model.decode(model.encode(some), own)
  figure = plots.image_rows(
    f'{model.split.capitalize()} images, input of the encoder, and '
    f'E[x | {model.of_x}{model.given}]',
    np.stack(list(rows.values())),
    rows=list(rows),
  )
  return Drawn(
    'reconstructions',
    figure,
    f'{model.split.capitalize()} images and their reconstructions.',
  )


def prior_samples(model: Model) -> Drawn:
  """Draws decoded samples of the prior."""
  draw = quick_jit(
    lambda prior, key: jax.vmap(prior.sample)(jax.random.split(key, _SIDE**2))
  )
  z = jax.tree.map(np.asarray, draw(model.prior, evaluation_keys().figures))
  figure = plots.image_grid(
    'E[x | z], z drawn from the prior', model.decode(z), _SIDE
  )
  return Drawn(
    'prior_samples', figure, 'Means of p(x|z) at samples z of the prior.'
  )


def interpolations(model: Model) -> Drawn:
  """Draws decoded interpolations between latents of images.

  They are linear. The mean of two values of a discrete z is not one of its
  values: there, more and more of the units that differ are switched.
  """
  # Evenly spaced examples, because the split may be sorted by label.
  ends = np.linspace(0, len(model.images) - 1, 2 * _PAIRS).astype(int)
  first, last = ends[:_PAIRS], ends[_PAIRS:]
  start = model.encode(take(model.preprocessed, first))[:, None]
  end = model.encode(take(model.preprocessed, last))[:, None]
  t = _WEIGHTS.astype(jnp.result_type(float))[None, :, None]
  if model.posterior.is_discrete:
    differ = start != end
    share = np.cumsum(differ, axis=-1, dtype=t.dtype) / np.maximum(
      np.sum(differ, axis=-1, keepdims=True, dtype=t.dtype), 1
    )
    lines = np.where(differ & (share <= t), end, start)
    way = 'z ~ q(z|x) with a share t of the units of z ~ q(z|y)'
  else:
    lines = (1 - t) * start + t * end
    z = model.latent
    if model.draws_z:
      way = f'{z} = (1 - t) {z}_x + t {z}_y, {z}_x ~ q({z}|x), {z}_y ~ q({z}|y)'
    else:
      way = f'{z} = (1 - t) E q({z}|x) + t E q({z}|y)'
  decoded = model.decode(lines.reshape(-1, lines.shape[-1]))
  steps = decoded.reshape(_PAIRS, len(_WEIGHTS), *decoded.shape[1:])
  originals = [model.originals(side)[:, None] for side in (first, last)]
  figure = plots.image_rows(
    f'{model.of_z}, {way}, {model.split} images x and y',
    np.concatenate([originals[0], steps, originals[1]], axis=1),
    columns=('x', *(f't = {t:.1f}' for t in _WEIGHTS), 'y'),
  )
  return Drawn(
    'interpolations',
    figure,
    f'Interpolations in {model.latent} from one {model.split} image (left) to '
    f'another (right).{model.note}',
  )


def traversals(model: Model, latents: Latents) -> Drawn:
  """Draws latent traversals: one unit moves through quantiles of the prior."""
  units = np.argsort(-latents.kl.mean)[:_UNITS]
  quantile = QUANTILES[type(model.prior)]
  levels = np.asarray(_LEVELS, jnp.result_type(float))
  one = lambda prior, u: quantile(prior, jnp.broadcast_to(u, prior.shape))
  at_levels = quick_jit(jax.vmap(one, (None, 0)))
  values = np.asarray(at_levels(model.prior, jax.device_put(levels)))
  figure = plots.image_rows(
    f'{model.of_z}, one unit varied, the others at {model.of_x} (KL in nats)',
    _traverse(model, units, values),
    rows=_names(model, units, latents),
    columns=[f'{level:.0%}' for level in _LEVELS],
    label='quantile of the prior',
  )
  return Drawn('traversals', figure, _TRAVERSALS + model.note)


def discrete_traversals(model: Model, latents: Latents) -> Drawn:
  """Draws latent traversals of bits or labels: one unit takes each value."""
  units = np.argsort(-latents.kl.mean)[:_BINARY_UNITS]
  count = 2
  if isinstance(model.prior, Categorical):
    count = min(model.prior.log_probabilities.shape[-1], _LABELS)
  values = np.tile(np.arange(count)[:, None], model.prior.shape)
  figure = plots.image_rows(
    f'E[x | z{model.given}], one unit switched, the others at {model.of_x} '
    '(KL in nats)',
    np.moveaxis(_traverse(model, units, values), 1, 0),
    rows=[f'z[j] = {value}' for value in range(count)],
    columns=_names(model, units, latents),
  )
  return Drawn('traversals', figure, _TRAVERSALS)


def _names(model: Model, units: np.ndarray, latents: Latents) -> list[str]:
  z = model.latent
  return [f'{z}[{j}]\nKL {latents.kl.mean[j]:.2f}' for j in units]


def _traverse(
  model: Model, units: np.ndarray, values: np.ndarray
) -> np.ndarray:
  """Decodes the first image with single units replaced.

  Args:
    model: Model to draw.
    units: Indices of the units, `[U]`.
    values: Values of every unit at S steps, `[S, Z]`.

  Returns:
    Images, `[U, S, H, W, C]`.
  """
  base = model.encode(take(model.preprocessed, slice(1)))[0]
  moved = np.tile(base, (len(units), len(values), 1))
  for row, unit in enumerate(units):
    moved[row, :, unit] = values[:, unit]
  decoded = model.decode(moved.reshape(-1, moved.shape[-1]))
  return decoded.reshape(*moved.shape[:2], *decoded.shape[1:])
