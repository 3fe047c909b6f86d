"""The report of a run of many seeds: means over them, and their errors."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from vae_jax.evaluate import Estimate, estimate_mean, warning
from vae_jax.io import logger
from vae_jax.runs.report import best, build
from vae_jax.runs.report.metrics import Evaluators, Metrics, make_evaluators
from vae_jax.runs.report.table import Row, rows_over_seeds
from vae_jax.runs.report.trained_run import (
  Measured,
  MeasureMore,
  More,
  TrainedRun,
  measure_run,
  own,
)
from vae_jax.runs.seeds import by_seed, in_words, seeds_of
from vae_jax.training import seeds


def report(
  run: TrainedRun,
  title: str,
  *,
  num_samples: int,
  measure_more: MeasureMore = lambda run, latents: More({}, {}),
  more_rows: Sequence[Row] = (),
) -> tuple[dict[str, Any], list[pathlib.Path]]:
  """Measures each seed of a run, logs the metrics and presents their means.

  Args:
    run: what to measure; of many seeds, with stacked parameters.
    title: title of the table and of the page.
    num_samples: K of the NLL.
    measure_more: further metrics of one seed.
    more_rows: further rows of the table.

  Returns:
    As `build.report`, which reports on a run of one seed. The metrics of many
    are those of `by_seed`.
  """
  numbers = seeds_of(run.config)
  if len(numbers) == 1:
    return build.report(
      run,
      title,
      num_samples=num_samples,
      measure_more=measure_more,
      more_rows=more_rows,
    )
  runs = [
    run._replace(params=seeds.take_one(run.params, i))
    for i in range(len(numbers))
  ]
  evaluators = make_evaluators(run.model, run.mesh)
  found = [
    measure_run(each, evaluators, num_samples, measure_more)
    for each in logger.track('seeds', runs)
  ]
  each = [one.metrics for one in found]
  if not run.writes:
    return by_seed(numbers, [logger.flatten(one) for one in each]), []
  if not run.evaluation:
    each = _with_best(run, own(run, evaluators), each)
  metrics = by_seed(numbers, [logger.flatten(one) for one in each])
  examples = [one.per_example for one in found]
  paths = build.record(run, metrics, _stack(examples))
  paths += build.present(
    runs[0],
    found[0].latents,
    each[0],
    f'{title}, mean +- standard error over {in_words(numbers)}',
    [*rows_over_seeds(each, given=run.given), *more_rows],
    [
      best.note(_means(each), run.epoch),
      *_warnings(numbers, found),
      _on_figures(numbers) if run.draws_figures else '',
    ],
  )
  return metrics, paths


def _with_best(
  run: TrainedRun, evaluators: Evaluators, each: Sequence[Metrics]
) -> list[Metrics]:
  """Returns the metrics of each seed, with those of the best checkpoint."""
  bests = best.measure_best_of_seeds(
    run.folder, evaluators, run.params, run.step, run.x, each, run.average
  )
  return [a | b for a, b in zip(each, bests, strict=True)]


def _stack(each: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
  """Returns the numbers of each example by seed, `[S, N]`."""
  return {name: np.stack([one[name] for one in each]) for name in each[0]}


def _means(each: Sequence[Metrics]) -> Metrics:
  """Returns the mean over the seeds of every estimate, for the sentences."""
  return each[0] | {
    name: estimate_mean(np.array([one[name].mean for one in each]))
    for name, value in each[0].items()
    if isinstance(value, Estimate)
  }


def _warnings(numbers: range, found: Sequence[Measured]) -> list[str]:
  lines = [warning(one.latents.latents) for one in found]
  return [
    f'seed {number}: {line}'
    for number, line in zip(numbers, lines, strict=True)
    if line
  ]


def _on_figures(numbers: range) -> str:
  return (
    f'The figures show seed {numbers[0]}, and curves by epoch the mean over '
    'the seeds; the decoder is that of the same seed'
  )
