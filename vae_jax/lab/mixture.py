"""Whether the learned mixture of estimators earns its place.

A target N(2, 9) and q from the target itself to a narrow one far off, where
the doubly reparameterised gradient is the noisier; each a batch of examples
that know only one another's draws.
"""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.config import Config, GradientVarianceConfig
from vae_jax.distributions import Normal
from vae_jax.lab.noise import compare, gradient_moments
from vae_jax.model import VAE
from vae_jax.objectives import LossFn, make_loss
from vae_jax.types import Key, Params

SUITE = 'mixture'
_TARGET = Normal(2.0, math.log(3.0))
_BATCH = 32
# In words, loc and log-scale of q.
SETTINGS = (
  ('q is the target', 2.0, math.log(3.0)),
  ('q near it, N(1, 4)', 1.0, math.log(2.0)),
  ('q off it, N(0, 1)', 0.0, 0.0),
  ('q narrow and far, N(-3, 1)', -3.0, 0.0),
)
OBJECTIVES = {'elbo': (1, 'stl'), 'iwae': (10, 'dreg')}


class Point(NamedTuple):
  """One estimator at one q.

  Attributes:
    suite: as in `Record`.
    setting: q, in words.
    objective: elbo or iwae.
    estimator: its name.
    coefficient: of the mixture, its mean over one batch.
    noise: root of the summed variance of a batch's gradient.
    noise_to_best: over that of the quieter of the two that are mixed.
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
  """A decoder that knows no z: log p(x, z) is the target alone."""
  encode = lambda params, x: Normal(**params['encoder'])
  return VAE(
    init=lambda key: {},
    encode=encode,
    decode=lambda params, z: Normal(0.0 * z, 0.0),
    prior=lambda params: _TARGET,
  )


_moments = jax.jit(gradient_moments, static_argnames=('loss', 'num_draws'))


def measure(key: Key, num_draws: int) -> list[Point]:
  """Measures plain, held and mixed gradients of both bounds at every q."""
  points = []
  for objective, (num_samples, held) in OBJECTIVES.items():
    losses = {
      name: _loss(objective, name, num_samples)
      for name in ('pathwise', held, 'mixture')
    }
    for setting, loc, log_scale in SETTINGS:
      encoder = {'loc': jnp.float32(loc), 'log_scale': jnp.float32(log_scale)}
      key, at = jax.random.split(key)
      points += _measure(
        at, setting, objective, losses, {'encoder': encoder}, num_draws
      )
  return points


def _loss(objective: str, estimator: str, num_samples: int) -> LossFn:
  config = Config(
    objective=objective,
    form='joint' if objective == 'elbo' else 'auto',
    estimator=estimator,
    num_samples=num_samples,
  )
  return make_loss(config, _model())


def _measure(
  key: Key,
  setting: str,
  objective: str,
  losses: Mapping[str, LossFn],
  params: Params,
  num_draws: int,
) -> list[Point]:
  noise_key, other_key, look_key = jax.random.split(key, 3)
  batch = jnp.zeros(_BATCH)
  # Compiled once for all settings.
  moments = lambda key, name: _moments(
    key, losses[name], params, batch, num_draws
  )
  held = OBJECTIVES[objective][1]
  found = {name: moments(jax.random.clone(noise_key), name) for name in losses}
  noises = compare(found, moments(other_key, 'pathwise'))['encoder']
  _, terms = losses['mixture'](look_key, params, batch)
  learned = float(jnp.mean(terms['coefficient']))
  coefficients = {'pathwise': 0.0, held: 1.0, 'mixture': learned}
  # At the target itself the held gradient has no noise at all.
  best = max(1e-6, min(noises['pathwise'].noise, noises[held].noise))
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
  """Returns the points as aligned columns."""
  header = (
    f'{"q":<28}{"bound":<7}{"estimator":<11}{"coefficient":>12}{"noise":>12}'
    f'{"to the best":>13}{"bias, rms z":>13}'
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
  """Measures and prints; the table is its own figure."""
  del folder
  points = measure(key, max(2, config.num_draws // 100))
  print(f'\nThe learned mixture, batches of {_BATCH} examples')
  print(table(points), flush=True)
  return list(points), []
