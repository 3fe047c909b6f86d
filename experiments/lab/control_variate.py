"""Adaptive combination of two gradient estimators (control variate).

The target is N(2, 9). The settings range from q equal to the target, where STL
and DReG have the lower variance, to a narrow and distant q, where they have the
higher one. The coefficient is estimated from the other examples of the batch.
"""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.lab.config import GradientVarianceConfig
from vae_jax.distributions import Normal
from vae_jax.models.vae import VAE
from vae_jax.training.gradient_noise import compare, gradient_moments
from vae_jax.training.loss import LossFn, make_loss
from vae_jax.types import Key, Params

SUITE = 'mixture'
_TARGET = Normal(2.0, math.log(3.0))
_BATCH = 32
# (description, loc of q, log-scale of q)
SETTINGS = (
  ('q is the target', 2.0, math.log(3.0)),
  ('q near target, N(1, 4)', 1.0, math.log(2.0)),
  ('q off target, N(0, 1)', 0.0, 0.0),
  ('q narrow, far, N(-3, 1)', -3.0, 0.0),
)
# objective -> (K, estimator with stop-gradient through log q)
OBJECTIVES = {'elbo': (1, 'stl'), 'iwae': (10, 'dreg')}
# Combines the pathwise estimator and that of `OBJECTIVES`.
_COMBINED = 'adaptive'


class Point(NamedTuple):
  """Measurement of one estimator at one q.

  Attributes:
    suite: as in `Record`.
    setting: description of q.
    objective: elbo or iwae.
    estimator: name of the estimator.
    coefficient: coefficient of the combination, averaged over one batch.
    noise: square root of the summed variance of a batch gradient.
    noise_to_best: ratio of `noise` to that of the better combined estimator.
    bias_z: as in `Noise`.
  """

  suite: str
  setting: str
  objective: str
  estimator: str
  coefficient: float
  noise: float
  noise_to_best: float
  bias_z: float


def _model() -> VAE:
  """Returns a VAE whose likelihood is independent of z."""
  encode = lambda params, x: Normal(**params['encoder'])
  return VAE(
    init=lambda key: {},
    encode=encode,
    decode=lambda params, z: Normal(0.0 * z, 0.0),
    prior=lambda params: _TARGET,
  )


_moments = jax.jit(gradient_moments, static_argnames=('loss', 'num_draws'))
_terms = jax.jit(
  lambda loss, key, params, batch: loss(key, params, batch)[1],
  static_argnums=0,
)


def measure(key: Key, num_draws: int) -> list[Point]:
  """Measures both estimators and their combination for each bound and q."""
  points = []
  for objective, (num_samples, stopped) in OBJECTIVES.items():
    losses = {
      name: _loss(objective, name, num_samples)
      for name in ('pathwise', stopped, _COMBINED)
    }
    for setting, loc, log_scale in SETTINGS:
      encoder = {'loc': jnp.float32(loc), 'log_scale': jnp.float32(log_scale)}
      key, at = jax.random.split(key)
      points += _measure(
        at, setting, objective, losses, {'encoder': encoder}, num_draws
      )
  return points


def _loss(objective: str, estimator: str, num_samples: int) -> LossFn:
  return make_loss(
    _model(),
    objective=objective,
    form='joint' if objective == 'elbo' else 'auto',
    estimator=estimator,
    num_samples=num_samples,
  )


def _measure(
  key: Key,
  setting: str,
  objective: str,
  losses: Mapping[str, LossFn],
  params: Params,
  num_draws: int,
) -> list[Point]:
  noise_key, reference_key, terms_key = jax.random.split(key, 3)
  batch = jnp.zeros(_BATCH)
  # Compiled once per loss.
  moments = lambda key, name: _moments(
    key, losses[name], params, batch, num_draws
  )
  stopped = OBJECTIVES[objective][1]
  found = {name: moments(jax.random.clone(noise_key), name) for name in losses}
  noises = compare(found, moments(reference_key, 'pathwise'))['encoder']
  terms = _terms(losses[_COMBINED], terms_key, params, batch)
  learned = float(jnp.mean(terms['coefficient']))
  coefficients = {'pathwise': 0.0, stopped: 1.0, _COMBINED: learned}
  # If q is the target, STL and DReG have zero variance.
  best = max(1e-6, min(noises['pathwise'].noise, noises[stopped].noise))
  return [
    Point(
      SUITE,
      setting,
      objective,
      name,
      coefficients[name],
      noise.noise,
      noise.noise / best,
      noise.bias_z,
    )
    for name, noise in noises.items()
  ]


def table(points: Sequence[Point]) -> str:
  """Formats the points as aligned columns."""
  header = (
    f'{"q":<28}{"bound":<7}{"estimator":<11}{"coefficient":>12}{"noise":>12}'
    f'{"noise ratio":>13}{"bias, rms z":>13}'
  )
  lines = [header, '-' * len(header)]
  for p in points:
    lines.append(
      f'{p.setting:<28}{p.objective:<7}{p.estimator:<11}{p.coefficient:>12.3f}'
      f'{p.noise:>12.4g}{p.noise_to_best:>13.4g}{p.bias_z:>13.2f}'
    )
  return '\n'.join(lines)


def suite(
  key: Key, config: GradientVarianceConfig, folder: pathlib.Path
) -> tuple[list[Any], list[pathlib.Path]]:
  """Measures the estimators and prints a table; draws no figure."""
  del folder
  points = measure(key, max(2, config.num_draws // 100))
  print(f'\nAdaptive combination of estimators, batches of {_BATCH} examples')
  print(table(points), flush=True)
  return list(points), []
