"""The report of a run: metrics, printed table, figures and HTML page."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from vae_jax.data import Split
from vae_jax.evaluate import Latents, evaluation_keys, measure_latents, warning
from vae_jax.io import files, logger
from vae_jax.models import LatentModel
from vae_jax.runs import monitor
from vae_jax.runs.config import Config
from vae_jax.runs.describe import describe
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.record import Record
from vae_jax.runs.report import figures, html
from vae_jax.runs.report.exact import measure_exact
from vae_jax.runs.report.metrics import (
  Metrics,
  measure,
  measure_bits,
  nll_curve,
)
from vae_jax.runs.report.table import Row, rows
from vae_jax.types import Params

# All pairs of examples are compared, which takes about a second for these.
_MAX_EXAMPLES = 2000


class TrainedRun(NamedTuple):
  """A trained model and the split on which it is measured.

  Attributes:
    folder: folder of the run.
    record: options of the run.
    model: the model.
    params: its parameters.
    step: gradient steps after which they were saved.
    epoch: epochs after which they were saved.
    split: name of the split.
    stored: the split as stored, with labels.
    x: the split preprocessed for the likelihood, `[N, ...]`.
    is_whole: whether all examples of the split are there.
  """

  folder: RunFolder
  record: Record
  model: LatentModel
  params: Params
  step: int
  epoch: int
  split: str
  stored: Split
  x: np.ndarray
  is_whole: bool = True

  @property
  def config(self) -> Config:
    """Options of the run."""
    return self.record.config


class TestLatents(NamedTuple):
  """Statistics of the latents of some examples, and their labels.

  Attributes:
    latents: statistics of N examples.
    labels: `[N]`; None where the data set has none.
  """

  latents: Latents
  labels: np.ndarray | None

  @property
  def metrics(self) -> Metrics:
    """Number of active units, and of all."""
    active = self.latents.active
    return {'active_units': int(active.sum()), 'latent_units': len(active)}


# (run, latents) -> more metrics
MeasureMore = Callable[[TrainedRun, TestLatents], Metrics]


def report(
  run: TrainedRun,
  title: str,
  *,
  num_samples: int,
  measure_more: MeasureMore = lambda run, latents: {},
  more_rows: Sequence[Row] = (),
) -> tuple[dict[str, Any], list[pathlib.Path]]:
  """Measures a trained run, logs the metrics and presents them.

  Args:
    run: what to measure.
    title: title of the table and of the page.
    num_samples: K of the NLL.
    measure_more: further metrics.
    more_rows: further rows of the table.

  Returns:
    (metrics, files): the flat metrics as in metrics.jsonl, and the files of
    the report.
  """
  metrics = measure(run.model, run.params, run.x, num_samples)
  metrics |= measure_bits(run.config, run.stored.x, metrics['nll'])
  is_test = run.split == 'test' and run.is_whole
  if is_test and not run.record.custom_model:
    metrics |= measure_exact(run.config, run.model, run.params, run.x)
  latents = measure_test_latents(run)
  metrics |= latents.metrics
  metrics |= measure_more(run, latents)
  run.folder.log.write_once(run.step, run.epoch, run.split, metrics)
  table = [*rows(metrics), *more_rows]
  paths = present(run, latents, metrics, title, table)
  return logger.flatten(metrics), paths


def measure_test_latents(run: TrainedRun) -> TestLatents:
  """Measures the latents of at most 2000 examples from the whole split."""
  count = len(run.x)
  # Evenly spaced: the split may be sorted by label.
  some = np.linspace(0, count - 1, min(count, _MAX_EXAMPLES)).astype(int)
  latents = measure_latents(
    evaluation_keys().latents, run.model, run.params, run.x[some]
  )
  labels = None if run.stored.labels is None else run.stored.labels[some]
  return TestLatents(latents, labels)


def present(
  run: TrainedRun,
  latents: TestLatents,
  metrics: Metrics,
  title: str,
  table: Sequence[Row],
) -> list[pathlib.Path]:
  """Prints the table, draws the figures and writes the HTML page.

  Args:
    run: the trained run.
    latents: statistics of its latents.
    metrics: of `measure`.
    title: title of the table and of the page.
    table: rows of the table.

  Returns:
    The files.
  """
  print(logger.format_table(title, table))
  if warning(latents.latents):
    print(warning(latents.latents))
  folder, records = run.folder, run.folder.log.read()
  captions = figures.draw_all(
    folder.figures,
    run.model,
    run.params,
    run.stored.x,
    run.x,
    records,
    figures.TestStatistics(*latents, nll_curve(metrics)),
  )
  for path in monitor.draw(folder.figures, records):
    captions[path] = 'Signal-to-noise ratio of the gradient during training.'
  pictures = [
    html.Picture(path.read_bytes(), path.stem.replace('_', ' '), caption)
    for path, caption in captions.items()
  ]
  custom = run.record.custom_model or None
  tables = {
    f'{run.split.capitalize()} split': [_on_page(row) for row in table],
    'Options': _options(run.record),
    'Versions': list(folder.read_versions().items()),
  }
  words = describe(run.config, run.model if custom else None)
  page = html.make_page(title, words, tables, pictures)
  files.write_text(folder.report, page)
  return [*captions, folder.report]


def _on_page(row: Row) -> Row:
  name, value = row
  return name, value.strip().replace('+-', '±')


def _options(record: Record) -> list[Row]:
  options = record.options()
  if record.custom_model:
    options |= {'model': record.custom_model}
  if record.custom_optimizer:
    options |= {'optimizer': 'given from Python'}
  words = lambda x: ', '.join(map(str, x)) if isinstance(x, tuple) else str(x)
  return [(name, words(value)) for name, value in options.items()]
