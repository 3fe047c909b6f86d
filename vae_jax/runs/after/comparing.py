"""The command `compare`: a table and one figure of several runs."""

import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from vae_jax import plots
from vae_jax.errors import UserError, command
from vae_jax.evaluate import Estimate
from vae_jax.io import files
from vae_jax.runs.after.differences import (
  PAIRED,
  Comparison,
  Row,
  compare_runs,
  options_that_differ,
  short_names,
)
from vae_jax.runs.after.measured import read_run
from vae_jax.runs.config.compare import CompareConfig
from vae_jax.runs.folder_path import check_folder, create_folder
from vae_jax.runs.save_figure import save_figure
from vae_jax.runs.seeds import seeds_of

TABLE, FIGURE = 'compare.md', 'compare.png'
# Options on which no number depends.
_UNSEEN = (
  *('workdir', 'data_dir', 'platform', 'compile_cache', 'stream', 'report'),
  *('checkpoint_seconds', 'keep_checkpoints', 'num_devices'),
)


def compare(options: CompareConfig) -> pathlib.Path:
  """Compares trained runs with the first of them; writes compare.md and .png.

  Args:
    options: options of the command.

  Returns:
    The folder of table and figure.

  Raises:
    UserError: fewer than two runs, one twice, or one without test metrics.
  """
  folder = options.workdir or os.path.join('runs', 'compare')
  check_folder(folder)
  names = options.workdirs
  if len(names) < 2:
    raise UserError(
      f'--workdirs: got {len(names)} runs, expected two or more. Give their '
      f'folders: {command("compare")} runs/a runs/b'
    )
  real = [os.path.realpath(os.path.expanduser(name)) for name in names]
  if twice := [
    n for n, r in zip(names, real, strict=True) if real.count(r) > 1
  ]:
    raise UserError(f'--workdirs: got {twice[0]} twice, expected it once')
  found = compare_runs([read_run(name) for name in names])
  shown = short_names(names)
  text = _table(found, shown)
  print(text, flush=True)
  place = create_folder(folder)
  figure = save_figure(place / FIGURE, _figure(found, shown))
  files.write_text(place / TABLE, f'{text}\n\n![{FIGURE}]({FIGURE})\n')
  print(f'\nFiles: {place / TABLE}  {figure}')
  return place


def _title(found: Comparison) -> str:
  """Returns which measurement is compared."""
  if found.key is None:
    return 'Test split, from the reports'
  split, count, _ = found.key
  return f'{split.capitalize()} split, {count} examples, from evaluations'


def _k(found: Comparison) -> str:
  """Returns ' (K = 500)'; '' where the runs differ in K."""
  each = {row.measurement.num_samples for row in found.rows}
  return '' if len(each) > 1 else f' (K = {each.pop()})'


def _own_k(found: Comparison, row: Row) -> str:
  """Returns ' (K = 500)' where the runs differ in K, else ''."""
  return '' if _k(found) else f' (K = {row.measurement.num_samples})'


def _number(value: Estimate | None, *, sign: bool = False) -> str:
  if value is None:
    return '-'
  text = f'{value.mean:+.3f}' if sign else f'{value.mean:.3f}'
  known = not math.isnan(value.standard_error)
  return text + (f' ± {value.standard_error:.3f}' if known else '')


def _units(row: Row) -> str:
  metrics = row.measurement.metrics
  if 'active_units' not in metrics:
    return '-'
  return f'{metrics["active_units"]:g} of {metrics["latent_units"]:g}'


def _table(found: Comparison, shown: Sequence[str]) -> str:
  """Returns the tables as Markdown, aligned to be read in a terminal."""
  head = [
    *('', 'run', f'NLL{_k(found)}', 'difference'),
    *('ELBO', 'difference', 'active units'),
  ]
  lines = []
  for i, (row, name) in enumerate(zip(found.rows, shown, strict=True), 1):
    differences = {
      k: _number(x.estimate, sign=True) for k, x in row.differences.items()
    }
    own = [
      *(str(i), name),
      *(
        _number(row.values['nll']) + _own_k(found, row),
        differences.get('nll', ''),
      ),
      *(_number(row.values['elbo']), differences.get('elbo', '')),
      _units(row),
    ]
    lines.append(own)
  differing = options_that_differ([row.run for row in found.rows], _UNSEEN)
  words = lambda x: ','.join(map(str, x)) if isinstance(x, tuple) else str(x)
  options = [[k, *map(words, values)] for k, values in differing.items()]
  numbered = [str(i) for i in range(1, len(shown) + 1)]
  text = [f'{_title(found)}, nats per example', '', *_aligned(head, lines), '']
  text += _notes(found)
  if options:
    text += ['', 'Options that differ', '']
    text += _aligned(['option', *numbered], options)
  else:
    text += ['', 'No option differs.']
  return '\n'.join(text)


def _aligned(head: list[str], lines: list[list[str]]) -> list[str]:
  """Returns the lines of a Markdown table with columns of one width."""
  escaped = [[x.replace('|', r'\|') for x in line] for line in [head, *lines]]
  widths = [max(map(len, column)) for column in zip(*escaped, strict=True)]
  join = lambda cells: '| ' + ' | '.join(cells) + ' |'
  padded = [
    join([f'{x:<{n}}' for x, n in zip(line, widths, strict=True)])
    for line in escaped
  ]
  rule = join(['-' * max(1, n) for n in widths])
  return [padded[0], rule, *padded[1:]]


def _notes(found: Comparison) -> list[str]:
  """Returns sentences on errors, and on what is not subtracted."""
  kinds = {
    x.kind
    for row in found.rows[1:]
    for x in row.differences.values()
    if x.estimate is not None
  }
  seeds = [len(seeds_of(row.run.record.config)) for row in found.rows]
  over = 'seeds' if max(seeds) > 1 and min(seeds) > 1 else 'examples'
  if max(seeds) > 1 and min(seeds) == 1:
    over = 'examples, or over seeds where a run has many'
  lines = [
    f'± is the standard error of the mean over {over}; a difference is from '
    'run 1. A lower NLL and a higher ELBO are better.'
  ]
  if kinds == {PAIRED}:
    lines.append('Differences are paired: their errors are over the examples.')
  elif kinds and over == 'seeds':
    lines.append('Differences are unpaired: seeds are independent.')
  elif kinds:
    lines.append(
      'Differences are unpaired, so their errors are too large: '
      f'{command("evaluate")} of every run, with one --num_samples, pairs them.'
    )
  for i, row in enumerate(found.rows, 1):
    lines += [f'Run {i} ({row.run.name}): {note}.' for note in row.notes]
  return lines


def _figure(found: Comparison, shown: Sequence[str]) -> 'plots.Figure':
  """Draws each number of the table as one panel."""
  panels: dict[str, tuple[list[float], list[float]]] = {}
  nan = Estimate(math.nan, math.nan)
  for name, label in (('nll', f'NLL{_k(found)}'), ('elbo', 'ELBO')):
    values = [row.values[name] for row in found.rows]
    panels[f'{label}, nats'] = _split(values)
    differences = [Estimate(0.0, math.nan)] + [
      row.differences[name].estimate or nan for row in found.rows[1:]
    ]
    if any(x is not nan for x in differences[1:]):
      panels[f'{name.upper()} difference from run 1'] = _split(differences)
  units = [row.measurement.metrics.get('active_units') for row in found.rows]
  if None not in units:
    panels['active units'] = _split([Estimate(x, math.nan) for x in units])
  title = f'{_title(found)}; bars: one standard error'
  numbered = [
    f'{i} {name}{_own_k(found, row)}'
    for i, (name, row) in enumerate(zip(shown, found.rows, strict=True), 1)
  ]
  return plots.intervals(title, numbered, panels)


def _split(values: Sequence[Any]) -> tuple[list[float], list[float]]:
  return (
    [float(x.mean) for x in values],
    [float(x.standard_error) for x in values],
  )
