"""The comparison of gradient estimators: what is measured, printed, drawn."""

import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import data, devices, plots, workdir
from vae_jax.config import GradientVarianceConfig
from vae_jax.lab import (
  costs,
  families,
  logistic,
  mixture,
  signal_to_noise,
)
from vae_jax.lab.records import Record, table, write_results
from vae_jax.types import Array, Key

RESULTS = 'results.json'

# (key, config, folder) -> (records of results.json, figures)
Suite = Callable[
  [Key, GradientVarianceConfig, pathlib.Path],
  tuple[list[Any], list[pathlib.Path]],
]


def run(config: GradientVarianceConfig) -> list[pathlib.Path]:
  """Compares the estimators on the suites that the flags name.

  Prints a table of each suite, and writes its figures and results.json, one
  record a point, into the workdir.

  Returns:
    The files written.

  Raises:
    UserError: no such device, or the folder cannot be written to.
  """
  device = devices.select(config.platform)
  folder = workdir.create(config.workdir)
  print(f'{config.num_draws} draws a point, seed {config.seed}, on {device}')
  names = list(_SUITES) if config.suite == 'all' else [config.suite]
  records, paths = [], []
  for name in names:
    # By name, so that a suite alone gives the numbers it gives among all.
    key = jax.random.fold_in(
      jax.random.key(config.seed), list(_SUITES).index(name)
    )
    found, drawn = _SUITES[name](key, config, folder)
    records += found
    paths += drawn
  paths.append(write_results(folder / RESULTS, records))
  print('\nWritten:', *(f'  {path}' for path in paths), sep='\n')
  return paths


def _costs(
  key: Key, config: GradientVarianceConfig, folder: pathlib.Path
) -> tuple[list[Any], list[pathlib.Path]]:
  records = costs.compare(key, config.num_draws)
  print('\nCosts under x ~ N(1, 1), estimates of two draws')
  print(table(records), flush=True)
  paths = [
    _draw_cost(folder / f'costs_{i}_{parameter}.png', cost, parameter, records)
    for i, cost in enumerate(costs.COSTS)
    for parameter in ('loc', 'log_scale')
  ]
  return records, paths


def _draw_cost(
  path: pathlib.Path,
  cost: costs.Cost,
  parameter: str,
  records: Sequence[Record],
) -> pathlib.Path:
  settings = {costs.setting(cost, k): k for k in cost.sweep}
  lines: dict[str, tuple[list[float], list[float]]] = {}
  for r in records:
    if r.setting in settings and r.parameter == parameter:
      k, variances = lines.setdefault(r.estimator, ([], []))
      k.append(settings[r.setting])
      variances.append(max(r.variance, 1e-8))
  return plots.curves(
    path,
    f'Variance of d E[{cost.name}] / d {parameter}',
    ('k', 'variance of an estimate of two draws'),
    lines,
    points=lines,
    scales=('linear', 'log'),
  )


def _families(
  key: Key, config: GradientVarianceConfig, folder: pathlib.Path
) -> tuple[list[Any], list[pathlib.Path]]:
  records, refusals = families.compare(key, config.num_draws)
  print('\nFamilies under the cost exp(-z^2), estimates of two draws')
  print(table(records))
  print('\nRefused, each with its reason')
  for refusal in refusals:
    place = f'{refusal.setting} {refusal.parameter}'
    print(f'  {place}, {refusal.estimator}: {refusal.refused}')
  names = list(dict.fromkeys(f'{r.setting} {r.parameter}' for r in records))
  points: dict[str, tuple[list[float], list[float]]] = {}
  for r in records:
    x, y = points.setdefault(r.estimator, ([], []))
    x.append(names.index(f'{r.setting} {r.parameter}'))
    y.append(max(r.signal_to_noise, 1e-3))
  path = plots.curves(
    folder / 'families.png',
    'Signal-to-noise of each estimator, family by family',
    ('', '|mean| / deviation of an estimate of two draws'),
    {},
    points=points,
    scales=('linear', 'log'),
    ticks=names,
  )
  return [*records, *refusals], [path]


def _logistic(
  key: Key, config: GradientVarianceConfig, folder: pathlib.Path
) -> tuple[list[Any], list[pathlib.Path]]:
  features, labels = map(jnp.asarray, data.load_breast_cancer())
  records, paths = [], []
  print('\nBayesian logistic regression on breast cancer, 50 draws a gradient')
  for posterior in logistic.POSTERIORS:
    found = _climb(key, posterior, features, labels, config.num_steps)
    _print_climb(posterior.name, found)
    records += found
    for what, label in (
      ('elbo', 'ELBO on all 569 tumours (nats)'),
      ('variance', 'variance of a gradient, summed over parameters'),
    ):
      paths.append(
        _draw_climb(
          folder / f'logistic_{posterior.name}_{what}.png',
          f'Logistic regression, {posterior.name} covariance',
          label,
          what,
          found,
        )
      )
  return records, paths


def _climb(
  key: Key,
  posterior: logistic.Posterior,
  features: Array,
  labels: Array,
  num_steps: int,
) -> list[dict[str, Any]]:
  """Trains with each estimator, and measures all along the first one's path."""
  train_key, variance_key = jax.random.split(jax.random.clone(key))
  records, snapshots = [], None
  for name, estimator in logistic.ESTIMATORS.items():
    if not logistic.serves(name, posterior):
      continue
    run = logistic.train(
      jax.random.clone(train_key),
      posterior,
      estimator,
      features,
      labels,
      num_steps,
    )
    # The same parameters for all: only the estimator differs.
    snapshots = run.snapshots if snapshots is None else snapshots
    variances = logistic.gradient_variances(
      jax.random.clone(variance_key),
      posterior,
      estimator,
      features,
      labels,
      snapshots,
    )
    total = functools.reduce(jnp.add, variances.values())
    records += [
      {
        'suite': 'logistic',
        'setting': f'{posterior.name} covariance',
        'estimator': name,
        'step': int(step),
        'elbo': float(elbo) if np.isfinite(elbo) else None,
        'variance': float(variance),
        **{f'variance_{k}': float(v[i]) for k, v in variances.items()},
      }
      for i, (step, elbo, variance) in enumerate(
        zip(run.steps, run.elbo, total, strict=True)
      )
    ]
  return records


def _print_climb(name: str, records: Sequence[dict[str, Any]]) -> None:
  last = max(r['step'] for r in records)
  print(
    f'\n{name} covariance: the bound, and the variance on the way, at steps'
  )
  steps = [0, last // 2, last]
  print(
    f'  {"":<26}{"ELBO at the end":>16}' + ''.join(f'{s:>12}' for s in steps)
  )
  for estimator in dict.fromkeys(r['estimator'] for r in records):
    mine = {r['step']: r for r in records if r['estimator'] == estimator}
    variances = ''.join(f'{mine[s]["variance"]:>12.4g}' for s in steps)
    elbo = mine[last]['elbo']
    end = 'diverged' if elbo is None else f'{elbo:.2f}'
    print(f'  {estimator:<26}{end:>16}{variances}', flush=True)


def _draw_climb(
  path: pathlib.Path,
  title: str,
  label: str,
  what: str,
  records: Sequence[dict[str, Any]],
) -> pathlib.Path:
  lines: dict[str, tuple[list[float], list[float]]] = {}
  for r in records:
    # The first steps come from so far below that nothing else would show.
    if r[what] is not None and r['step'] > 0:
      x, y = lines.setdefault(r['estimator'], ([], []))
      x.append(r['step'])
      y.append(r[what])
  scale = 'log' if what == 'variance' else 'linear'
  return plots.curves(
    path, title, ('step', label), lines, scales=('linear', scale)
  )


_SUITES: dict[str, Suite] = {
  'costs': _costs,
  'families': _families,
  'logistic': _logistic,
  'signal_to_noise': signal_to_noise.suite,
  'mixture': mixture.suite,
}
