"""Figures of conditional models: samples of chosen conditions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import plots
from vae_jax.evaluate import count_examples, evaluation_keys, take
from vae_jax.runs.report.figures.drawn import Drawn
from vae_jax.runs.report.figures.image_model import Model

# Draws of z, and conditions at most.
_DRAWS, _CONDITIONS = 10, 12


def condition_samples(model: Model) -> Drawn:
  """Draws E[x | z, y], one row per draw of z and one column per condition.

  The noise of z is the same along a row: what stays along it is the style,
  what changes is the condition.
  """
  examples, names = _conditions(model)
  count, size = len(names), len(names) * _DRAWS
  keys = jax.random.split(evaluation_keys().figures, _DRAWS)
  # Every condition gets the same keys on purpose.
  same = jax.random.wrap_key_data(
    jnp.repeat(jax.random.key_data(keys), count, axis=0),
    impl=jax.random.key_impl(keys),
  )
  columns = take(examples, np.tile(np.arange(count), _DRAWS))
  images = model.decode(model.sample(same, columns), columns)
  assert len(images) == size
  what = 'classes' if model.condition and model.condition.classes else 'y'
  figure = plots.image_rows(
    'E[x | z, y], the same noise of z ~ p(z|y) in each row',
    images.reshape(_DRAWS, count, *images.shape[1:]),
    columns=names,
    label=f'{what} of the condition',
  )
  return Drawn(
    'condition_samples',
    figure,
    'Means of p(x|z, y) for one condition y per column and one draw of z per '
    'row.',
  )


def _conditions(model: Model) -> tuple[Any, list[str]]:
  """Returns examples with the conditions to draw, and names of these."""
  assert model.condition is not None
  classes = model.condition.classes[:_CONDITIONS]
  if classes:
    first = take(model.preprocessed, np.zeros(len(classes), int))
    names = [str(each)[:12] for each in classes]
    return {**first, 'y': np.arange(len(classes), dtype=np.int32)}, names
  total = count_examples(model.preprocessed)
  # Evenly spaced, because the split may be sorted.
  some = np.linspace(0, total - 1, min(_CONDITIONS, total)).astype(int)
  return take(model.preprocessed, some), [f'y of {i}' for i in some]
