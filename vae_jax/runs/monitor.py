"""Signal-to-noise ratio of the gradient during training, against K.

At some epochs the gradient of the importance-weighted bound is drawn many
times on one fixed batch, with every estimator that q admits and several K:
the best estimator changes as q approaches the posterior.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from vae_jax import plots
from vae_jax.distributions import Chain, Distribution
from vae_jax.io import logger
from vae_jax.models import LatentModel
from vae_jax.objectives import ESTIMATORS, OBJECTIVES
from vae_jax.objectives.gdreg import can_reparameterise
from vae_jax.runs.functions import GRADIENTS
from vae_jax.training import make_loss
from vae_jax.training.gradient_noise import Moments, compare, gradient_moments
from vae_jax.types import Key, Params

NUM_SAMPLES = (1, 4, 16, 64)
_NUM_GRADIENTS = 32
_OBJECTIVE = 'iwae'
# Group in which every estimator is the same plain gradient, and the one in
# which only those that reparameterise the prior are another.
_DECODER, _PRIOR = 'decoder', 'prior'
# Group of parameters that are not a dict of groups.
_ALL = 'all'
_NAME = re.compile(r'([a-z_]+)_k(\d{1,9})_(\w+)_signal_to_noise')


class Point(NamedTuple):
  """Signal-to-noise ratio of one estimator, for one K, epoch and group.

  Attributes:
    group: group of parameters.
    estimator: label of the estimator and epoch.
    num_samples: K.
    signal_to_noise: ratio of one gradient.
  """

  group: str
  estimator: str
  num_samples: int
  signal_to_noise: float


def is_due(epoch: int, num_epochs: int) -> bool:
  """Returns whether to measure: at powers of two and the last epoch."""
  return epoch & (epoch - 1) == 0 or epoch == num_epochs


def make_monitor(
  model: LatentModel, batch: Any, num_samples: Sequence[int] = NUM_SAMPLES
) -> Callable[[Key, Params], dict[str, float]]:
  """Makes the measurement of the gradients of a model on one batch.

  Args:
    model: any `LatentModel`.
    batch: pytree of examples, `[B, ...]`.
    num_samples: the K to compare.

  Returns:
    `monitor(key, params) -> metrics` with names such as
    `dreg_k16_encoder_signal_to_noise`, `_noise` and `_bias_z`, the fields of
    `training.gradient_noise.Noise`. Equal keys give equal draws.
  """
  compiled: dict[tuple[str, int], Any] = {}
  first = jax.tree.map(lambda leaf: leaf[0], batch)

  def moments(name: str, k: int, key: Key, params: Params) -> Moments:
    # Compiled once for all epochs.
    if (name, k) not in compiled:
      draw = functools.partial(_draw, model, batch, name, k)
      compiled[name, k] = jax.jit(draw)
    return _in_groups(compiled[name, k](key, params))

  def monitor(key: Key, params: Params) -> dict[str, float]:
    pair = lambda params: model.condition(params, first)[:2]
    (q, prior), values = jax.eval_shape(pair, params), {}
    for k in num_samples:
      noise_key, other_key = jax.random.split(jax.random.fold_in(key, k))
      names = estimators_of(q, k, prior)
      found = {
        name: moments(name, k, jax.random.clone(noise_key), params)
        for name in names
      }
      reference = moments(names[0], k, other_key, params)
      for group, noises in compare(found, reference).items():
        for name in _distinct(group, names):
          for field in ('signal_to_noise', 'noise', 'bias_z'):
            value = getattr(noises[name], field)
            values[f'{name}_k{k}_{group}_{field}'] = value
    return values

  return monitor


def estimators_of(
  q: Distribution, num_samples: int, prior: Distribution | None = None
) -> list[str]:
  """Returns the estimators that q, K and p(z) admit, the reference first.

  Sticking the landing is left out: for K = 1 it equals the doubly
  reparameterised gradient, for other K it is biased. So is the generalised
  gradient, where p(z) has no parameters that it reparameterises.
  """
  learns = prior is not None and _learns(prior)
  return [
    name
    for name in OBJECTIVES[_OBJECTIVE].estimators
    if ESTIMATORS[name].differentiates_draws != q.is_discrete
    and ESTIMATORS[name].min_samples <= num_samples
    and ESTIMATORS[name].max_weighted_samples is None
    and (learns or not ESTIMATORS[name].reparameterises_prior)
  ]


def _learns(prior: Distribution) -> bool:
  """Returns whether p(z) is a hierarchy, whose conditionals have parameters.

  A single p(z) does not tell whether its parameters are learned.
  """
  return isinstance(prior, Chain) and can_reparameterise(prior)


def _distinct(group: str, names: Sequence[str]) -> list[str]:
  """Returns the estimators whose gradients differ in a group."""
  first, *others = names
  if group == _DECODER:
    return [first]
  if group == _PRIOR:
    others = [n for n in others if ESTIMATORS[n].reparameterises_prior]
  return [first, *others]


def _draw(
  model: LatentModel,
  batch: Any,
  estimator: str,
  num_samples: int,
  key: Key,
  params: Params,
) -> Moments:
  loss = make_loss(
    model, objective=_OBJECTIVE, estimator=estimator, num_samples=num_samples
  )
  return gradient_moments(key, loss, params, batch, _NUM_GRADIENTS)


def _in_groups(moments: Moments) -> Moments:
  """Puts parameters that are not a dict of groups into one group."""
  if isinstance(moments.mean, Mapping):
    return moments
  mean, variance = {_ALL: moments.mean}, {_ALL: moments.variance}
  return Moments(mean, variance, moments.num_draws)


def draw(records: Sequence[dict[str, Any]]) -> dict[str, 'plots.Figure']:
  """Draws the first and the last measurement in metrics.jsonl, if any.

  Args:
    records: lines of metrics.jsonl.

  Returns:
    Name of each file, without `.png`, -> its figure.
  """
  measured = [r for r in records if r['split'] == GRADIENTS]
  if not measured:
    return {}
  points = []
  for record in {r['epoch']: r for r in (measured[0], measured[-1])}.values():
    for name, value in record.items():
      match = _NAME.fullmatch(name)
      if match and logger.is_finite(value):
        estimator, k, group = match.groups()
        label = f'{estimator}, epoch {record["epoch"]}'
        points.append(Point(group, label, int(k), value))
  title = 'Importance-weighted gradient during training, {} parameters'
  figures = plots.signal_to_noise(title, points)
  return {f'{GRADIENTS}_{group}': each for group, each in figures.items()}
