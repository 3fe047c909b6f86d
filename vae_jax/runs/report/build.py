"""The report of a run, or of an evaluation: table, figures and HTML page."""

import io
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh

from vae_jax import data
from vae_jax.data import Split
from vae_jax.errors import UserError
from vae_jax.evaluate import Latents, evaluation_keys, measure_latents, warning
from vae_jax.io import files, logger
from vae_jax.models import LatentModel
from vae_jax.runs.config import Config
from vae_jax.runs.describe import describe
from vae_jax.runs.folder import FIGURES, METRICS, REPORT, RunFolder
from vae_jax.runs.record import Record
from vae_jax.runs.report import best, figures, html
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
# Folder of the evaluations of a run, and the numbers of each example.
EVALUATIONS, PER_EXAMPLE = 'evaluations', 'per_example.npz'


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
    evaluation: name of the evaluation, whose files are in a folder of their
      own; '' for the report of the run.
    mesh: devices over which examples are sharded; None for one.
    writes: whether this process writes the report, and does not only take part
      in what `mesh` shares.
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
  evaluation: str = ''
  mesh: Mesh | None = None
  writes: bool = True

  @property
  def config(self) -> Config:
    """Options of the run."""
    return self.record.config

  @property
  def place(self) -> pathlib.Path:
    """Folder of the report."""
    if not self.evaluation:
      return self.folder.path
    return self.folder.path / EVALUATIONS / self.evaluation


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
    """Number of active units, and of all; {} for a single example."""
    if len(self.latents.means) < 2:
      return {}
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
  metrics, per_example = measure(
    run.model, run.params, run.x, num_samples, run.mesh
  )
  metrics |= measure_bits(run.config, run.stored.x, metrics['nll'])
  is_test = run.split == 'test' and run.is_whole
  if is_test and not run.record.custom_model:
    metrics |= measure_exact(run.config, run.model, run.params, run.x)
  latents = measure_test_latents(run)
  metrics |= latents.metrics
  metrics |= measure_more(run, latents)
  if not run.writes:
    return logger.flatten(metrics), []
  if not run.evaluation:
    metrics |= best.measure_best(
      run.folder, run.model, run.params, run.step, run.x, metrics
    )
  paths = _record(run, metrics, per_example)
  table = [*rows(metrics, latents.latents.informative), *more_rows]
  paths += present(run, latents, metrics, title, table)
  return logger.flatten(metrics), paths


def _record(
  run: TrainedRun, metrics: Metrics, per_example: dict[str, np.ndarray]
) -> list[pathlib.Path]:
  """Logs the metrics; an evaluation also keeps the numbers of each example."""
  log, place = run.folder.log, run.place
  if not run.evaluation:
    log.write_once(run.step, run.epoch, run.split, metrics)
    return []
  files.make_folder(place.parent)
  files.make_folder(place)
  # The number identifies the line, as the split does.
  metrics = {'num_examples': len(run.x), **metrics}
  log = logger.MetricsLogger(place / METRICS)
  log.write_once(run.step, run.epoch, run.split, metrics)
  content, arrays = io.BytesIO(), dict[str, Any](per_example)
  np.savez(content, **arrays)
  files.write(place / PER_EXAMPLE, content.getvalue())
  return [place / PER_EXAMPLE]


def measure_test_latents(run: TrainedRun) -> TestLatents:
  """Measures the latents of at most 2000 examples from the whole split."""
  count = len(run.x)
  # Evenly spaced: the split may be sorted by label.
  some = np.linspace(0, count - 1, min(count, _MAX_EXAMPLES)).astype(int)
  latents = measure_latents(
    evaluation_keys().latents, run.model, run.params, run.x[some]
  )
  if run.stored.labels is None:
    return TestLatents(latents, None)
  labels, options = run.stored.labels[some], run.config.data
  names = data.class_names(options.dataset, data_dir=options.data_dir)
  is_index = labels.dtype.kind in 'iu' and np.all(labels >= 0)
  if is_index and np.all(labels < len(names)):
    labels = np.asarray(names)[labels]
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
  print(logger.format_table(title, table), flush=True)
  notes = [best.note(metrics, run.epoch), warning(latents.latents)]
  notes = [each for each in notes if each]
  for each in notes:
    print(each, flush=True)
  captions = figures.draw_all(
    run.place / FIGURES,
    run.model,
    run.params,
    run.stored.x,
    run.x,
    _curves(run),
    figures.TestStatistics(*latents, nll_curve(metrics), run.split),
  )
  pictures = [
    html.Picture(path.read_bytes(), path.stem.replace('_', ' '), caption)
    for path, caption in captions.items()
  ]
  tables = {
    f'{run.split.capitalize()} split': [_on_page(row) for row in table],
    'Options': _options(run.record),
    'Versions': list(run.folder.read_versions().items()),
  }
  words = describe(run.config, run.model if run.record.custom_model else None)
  page = html.make_page(
    title, words, tables, pictures, notes=notes, links=_links(run)
  )
  files.write_text(run.place / REPORT, page)
  if run.evaluation:
    _link(run)
  return [*captions, run.place / REPORT]


def names(run: TrainedRun, paths: Sequence[pathlib.Path]) -> list[str]:
  """Returns the names of files within the folder of the report, to print."""
  return [METRICS, *(str(path.relative_to(run.place)) for path in paths)]


def _curves(run: TrainedRun) -> figures.Curves | None:
  """Returns the logged metrics of a run; None for one of its evaluations."""
  if run.evaluation:
    return None
  try:
    records = run.folder.log.read()
  except UserError as error:
    print(f'warning: {error}', flush=True)
    return None
  return figures.Curves(records, run.config.objective.num_samples)


def _links(run: TrainedRun) -> list[tuple[str, str]]:
  """Returns path and text of the other pages that a page links to."""
  if run.evaluation:
    return [(f'../../{REPORT}', 'The report of the run')]
  found = sorted((run.folder.path / EVALUATIONS).glob(f'*/{REPORT}'))
  return [
    (str(path.relative_to(run.folder.path)), path.parent.name) for path in found
  ]


def _link(run: TrainedRun) -> None:
  """Links the evaluations from the report of the run, if it has one."""
  path = run.folder.report
  if path.exists():
    links = _links(run._replace(evaluation=''))
    files.write_text(path, html.with_links(files.read_text(path), links))


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
