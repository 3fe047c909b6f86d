"""The gradient of a run while it trains: signal-to-noise against K.

At some epochs the gradient of the importance-weighted bound is drawn again
and again on one fixed batch, with every estimator that q admits and several
K: which estimator is best changes as q comes near the posterior.
"""

import dataclasses
import functools
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from vae_jax.compatibility import DISCRETE
from vae_jax.config import Config
from vae_jax.lab.noise import Moments, compare, gradient_moments
from vae_jax.lab.signal_to_noise import draw_groups
from vae_jax.model import VAE
from vae_jax.objectives import make_loss
from vae_jax.types import Array, Key, Params

SPLIT = 'gradients'
NUM_SAMPLES = (1, 4, 16, 64)
_DRAWS = 32
_NAME = re.compile(r'(\w+)_k(\d+)_(encoder|decoder)_signal_to_noise')


class Point(NamedTuple):
  """One estimator at one K and epoch, in one parameter group."""

  group: str
  estimator: str
  num_samples: int
  signal_to_noise: float


def is_due(epoch: int, num_epochs: int) -> bool:
  """Whether an epoch, from 1, is measured: powers of two, and the last."""
  return epoch & (epoch - 1) == 0 or epoch == num_epochs


def make_monitor(
  config: Config,
  vae: VAE,
  batch: Array,
  num_samples: Sequence[int] = NUM_SAMPLES,
) -> Callable[[Key, Params], dict[str, float]]:
  """Makes the measurement of a run's gradients on one batch.

  Returns:
    `monitor(key, params)` -> names such as `dreg_k16_encoder_signal_to_noise`,
    `_noise` and `_bias_z`, as `lab.noise.Noise` has them. The same key gives
    the same draws at every epoch.
  """
  # Compiled once, for all the epochs.
  draws = {
    (name, k): jax.jit(functools.partial(_draw, config, vae, batch, name, k))
    for k in num_samples
    for name in _estimators(config, k)
  }

  def monitor(key: Key, params: Params) -> dict[str, float]:
    values = {}
    for k in num_samples:
      noise_key, other_key = jax.random.split(jax.random.fold_in(key, k))
      names = _estimators(config, k)
      found = {
        name: draws[name, k](jax.random.clone(noise_key), params)
        for name in names
      }
      reference = draws[names[0], k](other_key, params)
      for group, noises in compare(found, reference).items():
        # In the decoder they are one and the same.
        for name in names if group == 'encoder' else names[:1]:
          for field in ('signal_to_noise', 'noise', 'bias_z'):
            values[f'{name}_k{k}_{group}_{field}'] = getattr(
              noises[name], field
            )
    return values

  return monitor


def _draw(
  config: Config,
  vae: VAE,
  batch: Array,
  estimator: str,
  num_samples: int,
  key: Key,
  params: Params,
) -> Moments:
  neutral = Config()
  objective = {
    field.name: getattr(neutral, field.name)
    for field in dataclasses.fields(Config)
    if field.metadata['group'] == 'Objective'
  } | {
    'objective': 'iwae',
    'estimator': estimator,
    'num_samples': num_samples,
  }
  loss = make_loss(dataclasses.replace(config, **objective), vae)
  return gradient_moments(key, loss, params, batch, _DRAWS)


def _estimators(config: Config, num_samples: int) -> tuple[str, ...]:
  """Returns the estimators that q admits, the plain one first."""
  if config.posterior not in DISCRETE:
    return 'pathwise', 'dreg', 'mixture'
  return ('score_function', 'vimco')[: 2 if num_samples > 1 else 1]


def draw(
  folder: pathlib.Path, records: Sequence[dict[str, Any]]
) -> list[pathlib.Path]:
  """Draws the first and the last measurement of metrics.jsonl, if any."""
  measured = [r for r in records if r['split'] == SPLIT]
  if not measured:
    return []
  points = []
  for record in {r['epoch']: r for r in (measured[0], measured[-1])}.values():
    for name, value in record.items():
      match = _NAME.fullmatch(name)
      if match:
        estimator, k, group = match.groups()
        label = f'{estimator}, epoch {record["epoch"]}'
        points.append(Point(group, label, int(k), value))
  title = 'Importance-weighted gradient while training, {} parameters'
  return draw_groups(folder, SPLIT, title, points)
