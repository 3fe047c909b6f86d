"""The report of a run, or of an evaluation: table, figures and HTML page."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from vae_jax.errors import UserError
from vae_jax.evaluate import count_examples, warning
from vae_jax.io import files, logger
from vae_jax.io.npz import write_npz
from vae_jax.runs import choose
from vae_jax.runs.config.auto import is_auto
from vae_jax.runs.describe import describe, describe_training
from vae_jax.runs.folder import FIGURES, METRICS, REPORT
from vae_jax.runs.record import Record
from vae_jax.runs.report import best, figures, html
from vae_jax.runs.report.decoder import section
from vae_jax.runs.report.metrics import Metrics, make_evaluators, nll_curve
from vae_jax.runs.report.table import Row, rows
from vae_jax.runs.report.trained_run import (
  EVALUATIONS,
  MeasureMore,
  More,
  TestLatents,
  TrainedRun,
  measure_run,
  measured_examples,
  own,
)

# Numbers of each example, in the folder of an evaluation.
PER_EXAMPLE = 'per_example.npz'


def report(
  run: TrainedRun,
  title: str,
  *,
  num_samples: int,
  measure_more: MeasureMore = lambda run, latents: More({}, {}),
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
  evaluators = make_evaluators(run.model, run.mesh)
  metrics, per_example, latents = measure_run(
    run, evaluators, num_samples, measure_more
  )
  if not run.writes:
    return logger.flatten(metrics), []
  if not run.evaluation:
    metrics |= best.measure_best(
      run.folder,
      own(run, evaluators),
      run.params,
      run.step,
      run.x,
      metrics,
      run.average,
    )
  paths = record(run, logger.flatten(metrics), per_example)
  informative = latents.latents.informative
  table = [*rows(metrics, informative, given=run.given), *more_rows]
  paths += present(run, latents, metrics, title, table)
  return logger.flatten(metrics), paths


def record(
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
  metrics = {'num_examples': count_examples(run.x), **metrics}
  log = logger.MetricsLogger(place / METRICS)
  log.write_once(run.step, run.epoch, run.split, metrics)
  return [write_npz(place / PER_EXAMPLE, per_example)]


def present(
  run: TrainedRun,
  latents: TestLatents,
  metrics: Metrics,
  title: str,
  table: Sequence[Row],
  notes: Sequence[str] | None = None,
) -> list[pathlib.Path]:
  """Prints the table, draws the figures and writes the HTML page.

  Args:
    run: the trained run.
    latents: statistics of its latents.
    metrics: of `measure`.
    title: title of the table and of the page.
    table: rows of the table.
    notes: sentences below the table; None for those of the run.

  Returns:
    The files.
  """
  print(logger.format_table(title, table), flush=True)
  if notes is None:
    notes = [best.note(metrics, run.epoch), warning(latents.latents)]
  notes = [each for each in notes if each]
  for each in notes:
    print(each, flush=True)
  captions, decoder = _draw(run, latents, metrics)
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
  training = describe_training(run.config, custom=run.record.custom_optimizer)
  words = '\n'.join([words, *training])
  if choices := _choices(run):
    tables['Gradient estimators chosen'] = choices
  page = html.make_page(
    title,
    words,
    tables,
    pictures,
    notes=notes,
    links=_links(run),
    decoder=decoder,
  )
  files.write_text(run.place / REPORT, page)
  if run.evaluation:
    _link(run)
  return [*captions, run.place / REPORT]


def _draw(
  run: TrainedRun, latents: TestLatents, metrics: Metrics
) -> tuple[dict[pathlib.Path, str], html.Widget]:
  """Returns path -> caption of each figure, and the decoder, if wanted."""
  if not run.draws_figures:
    words = 'No figures (--report=table); --report=full draws them'
    print(f'{words}, and adds the decoder', flush=True)
    return {}, html.NO_WIDGET
  images = _as_pixels(run.stored.x)
  captions = figures.draw_all(
    run.place / FIGURES,
    run.model,
    run.params,
    images,
    run.x,
    _curves(run),
    figures.TestStatistics(
      latents.latents,
      latents.labels,
      nll_curve(metrics),
      run.split,
      run.given,
      latents.calibration,
    ),
    run.record.condition,
  )
  return captions, _decoder(run, latents, images)


def _decoder(
  run: TrainedRun, latents: TestLatents, images: np.ndarray
) -> html.Widget:
  """Returns the section that decodes, or a sentence in its place."""
  some = measured_examples(count_examples(run.x))
  widget, reason = section.attempt(
    run.model,
    run.params,
    images,
    run.x,
    section.Encoded(
      latents.latents,
      latents.labels,
      section.conditions_of(run.x, some),
      run.split,
    ),
    run.record.condition,
  )
  if reason:
    print(f'{run.place / REPORT}: does not decode, {reason}', flush=True)
  return widget


def _as_pixels(x: np.ndarray) -> np.ndarray:
  """Returns images for the figures; real ones beyond [0, 1] as vectors."""
  if x.ndim == 2 or x.dtype.kind in 'iu':  # Vectors, pixels or counts.
    return x
  # NaN is missing, and drawn black.
  if np.nanmin(x) >= 0 and np.nanmax(x) <= 1:
    return np.rint(np.nan_to_num(x) * 255).astype(np.uint8)
  print('No figures of images: x are real numbers beyond [0, 1]', flush=True)
  return x.reshape(len(x), -1)


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


def _choices(run: TrainedRun) -> list[Row]:
  curves = _curves(run) if is_auto(run.config) else None
  return [] if curves is None else choose.table(curves.records)


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
