"""Comparison of gradient estimators: tables, figures and results.json."""

import functools
import importlib.util
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab import (
  control_variate,
  costs,
  discrete,
  families,
  logistic,
  signal_to_noise,
  tabular,
)
from experiments.lab.config import GradientVarianceConfig
from experiments.lab.records import Record, table
from vae_jax import plots
from vae_jax.errors import UserError
from vae_jax.io import devices
from vae_jax.io.results import write_results
from vae_jax.runs import compile_cache
from vae_jax.runs.folder_path import create_folder
from vae_jax.runs.save_figure import save_figure
from vae_jax.types import Array, Key

RESULTS = 'results.json'

# (key, config, folder) -> (records of results.json, figures)
Suite = Callable[
  [Key, GradientVarianceConfig, pathlib.Path],
  tuple[list[Any], list[pathlib.Path]],
]


def run(config: GradientVarianceConfig) -> list[pathlib.Path]:
  """Compares the estimators on the suites that the flags select.

  Prints one table per suite. Writes the figures and results.json, one record
  per point, into the working directory.

  Returns:
    Paths of the written files.

  Raises:
    UserError: the device is missing, the folder is not writable, or the suite
      needs a package that is not installed.
  """
  device = devices.select(config.platform)
  compile_cache.enable(config.compile_cache)
  folder = create_folder(config.workdir)
  print(f'{config.num_draws} draws per point, seed {config.seed}, on {device}')
  names = list(_SUITES) if config.suite == 'all' else [config.suite]
  records, paths = [], []
  for name in names:
    # The key depends on the suite only: alone or among all, equal results.
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
  print('\nCosts under x ~ N(1, 1), two draws per estimate')
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
  figure = plots.curves(
    f'Variance of d E[{cost.name}] / d {parameter}',
    ('k', 'variance of an estimate from two draws'),
    lines,
    points=lines,
    scales=('linear', 'log'),
  )
  return save_figure(path, figure)


def _families(
  key: Key, config: GradientVarianceConfig, folder: pathlib.Path
) -> tuple[list[Any], list[pathlib.Path]]:
  records, unsupported = families.compare(key, config.num_draws)
  print('\nFamilies under the cost exp(-z^2), two draws per estimate')
  print(table(records))
  print('\nUnsupported estimators')
  for row in unsupported:
    print(f'  {row.setting} {row.parameter}, {row.estimator}: {row.reason}')
  names = list(dict.fromkeys(f'{r.setting} {r.parameter}' for r in records))
  points: dict[str, tuple[list[float], list[float]]] = {}
  for r in records:
    x, y = points.setdefault(r.estimator, ([], []))
    x.append(names.index(f'{r.setting} {r.parameter}'))
    y.append(max(r.signal_to_noise, 1e-3))
  figure = plots.curves(
    'Signal-to-noise ratio of each estimator by family',
    ('', '|exact| / standard deviation of an estimate from two draws'),
    {},
    points=points,
    scales=('linear', 'log'),
    ticks=names,
  )
  path = save_figure(folder / 'families.png', figure)
  return [*records, *unsupported], [path]


def _logistic(
  key: Key, config: GradientVarianceConfig, folder: pathlib.Path
) -> tuple[list[Any], list[pathlib.Path]]:
  features, labels = map(jnp.asarray, tabular.load_breast_cancer())
  records, paths = [], []
  print('\nBayesian logistic regression, breast cancer, 50 draws per gradient')
  for posterior in logistic.POSTERIORS:
    found = _train_all(key, posterior, features, labels, config.num_steps)
    _print_training(posterior.name, found)
    records += found
    for field, label in (
      ('elbo', 'ELBO on all 569 examples (nats)'),
      ('variance', 'gradient variance, summed over parameters'),
    ):
      paths.append(
        _draw_training(
          folder / f'logistic_{posterior.name}_{field}.png',
          f'Logistic regression, {posterior.name} covariance',
          label,
          field,
          found,
        )
      )
  return records, paths


def _train_all(
  key: Key,
  posterior: logistic.Posterior,
  features: Array,
  labels: Array,
  num_steps: int,
) -> list[dict[str, Any]]:
  """Trains with each estimator; measures all variances on the first path."""
  train_key, variance_key = jax.random.split(jax.random.clone(key))
  records, snapshots = [], None
  for name, estimator in logistic.ESTIMATORS.items():
    if not logistic.supports(name, posterior):
      continue
    run = logistic.train(
      jax.random.clone(train_key),
      posterior,
      estimator,
      features,
      labels,
      num_steps,
    )
    # Gradient variances at the same parameters for all estimators.
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


def _print_training(name: str, records: Sequence[dict[str, Any]]) -> None:
  last = max(r['step'] for r in records)
  print(f'\n{name} covariance: final ELBO, and gradient variance at steps')
  steps = [0, last // 2, last]
  print(f'  {"":<26}{"final ELBO":>16}' + ''.join(f'{s:>12}' for s in steps))
  for estimator in dict.fromkeys(r['estimator'] for r in records):
    mine = {r['step']: r for r in records if r['estimator'] == estimator}
    variances = ''.join(f'{mine[s]["variance"]:>12.4g}' for s in steps)
    elbo = mine[last]['elbo']
    end = 'diverged' if elbo is None else f'{elbo:.2f}'
    print(f'  {estimator:<26}{end:>16}{variances}', flush=True)


def _draw_training(
  path: pathlib.Path,
  title: str,
  label: str,
  field: str,
  records: Sequence[dict[str, Any]],
) -> pathlib.Path:
  lines: dict[str, tuple[list[float], list[float]]] = {}
  for r in records:
    # The initial bound is so low that it would dominate the axis.
    if r[field] is not None and r['step'] > 0:
      x, y = lines.setdefault(r['estimator'], ([], []))
      x.append(r['step'])
      y.append(r[field])
  scale = 'log' if field == 'variance' else 'linear'
  figure = plots.curves(title, ('step', label), lines, scales=('linear', scale))
  return save_figure(path, figure)


def _accuracy(
  key: Key, config: GradientVarianceConfig, folder: pathlib.Path
) -> tuple[list[Any], list[pathlib.Path]]:
  del key, folder  # No draws, and no figure.
  if importlib.util.find_spec('mpmath') is None:
    message = (
      '--suite=accuracy: mpmath is not installed. Run '
      "pip install 'vae_jax[dev]'"
    )
    if config.suite == 'accuracy':
      raise UserError(message)
    print(f'\nSkipped: {message}')
    return [], []
  from experiments.lab import accuracy

  records = accuracy.compare()
  print('\nLargest relative errors in float32: value / derivatives')
  print(accuracy.table(records), flush=True)
  return records, []


_SUITES: dict[str, Suite] = {
  'costs': _costs,
  'families': _families,
  'logistic': _logistic,
  'signal_to_noise': signal_to_noise.suite,
  'mixture': control_variate.suite,
  'accuracy': _accuracy,
  'discrete': discrete.suite,
}
