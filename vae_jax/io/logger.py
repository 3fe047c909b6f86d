"""Logging: metrics as JSON lines, progress bars and tables."""

import json
import math
import pathlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any

from vae_jax.errors import UserError, needs
from vae_jax.io import files, signals

# Sums and squares of larger numbers overflow in a figure.
_LARGEST = 1e100
# Time between lines of progress in a pipe.
_SECONDS_PER_LINE = 5.0


class MetricsLogger:
  """Appends metrics to a JSON Lines file, one object per line.

  Nested metrics are flattened as by `flatten`.

  Args:
    path: File, such as metrics.jsonl; created by the first line.
  """

  def __init__(self, path: pathlib.Path):
    self._path = path

  def write(
    self, step: int, epoch: int, split: str, metrics: Mapping[str, Any]
  ) -> None:
    """Appends a line; numbers that are not finite become null."""
    self._append(_record(step, epoch, split, metrics))

  def write_once(
    self, step: int, epoch: int, split: str, metrics: Mapping[str, Any]
  ) -> None:
    """Appends a line unless the file already contains an equal one."""
    record = _record(step, epoch, split, metrics)
    if record not in read_metrics(self._path, skip_damaged=True):
      self._append(record)

  def _append(self, record: Mapping[str, Any]) -> None:
    files.append_line(self._path, json.dumps(record))

  def rewind(self, step: int) -> None:
    """Removes the lines after `step`, which a resumed run will log again."""
    lines = read_metrics(self._path)
    kept = [line for line in lines if line['step'] <= step]
    text = ''.join(json.dumps(line) + '\n' for line in kept)
    files.write_text(self._path, text)

  def sync(self) -> None:
    """Flushes all lines to the disk."""
    if self._path.exists():
      files.sync(self._path)

  def read(self) -> list[dict[str, Any]]:
    """Returns all lines."""
    return read_metrics(self._path)


def flatten(metrics: Mapping[str, Any]) -> dict[str, Any]:
  """Flattens nested metrics to one level, as in metrics.jsonl.

  A mapping under `name` prefixes its keys with `name_`. A named tuple of
  `mean` and `standard_error` becomes `name` and `name_standard_error`.

  >>> flatten({'elbo': -9.5, 'gap': {'kl': 2}})
  {'elbo': -9.5, 'gap_kl': 2}

  Raises:
    ValueError: Two metrics have the same flat name.
  """
  flat: dict[str, Any] = {}
  for name, value in metrics.items():
    for key, number in _parts(name, value):
      if key in flat:
        raise ValueError(f'two metrics have the flat name {key!r}')
      flat[key] = number
  return flat


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
  """Yields the flat names and the numbers of one metric."""
  if isinstance(value, Mapping):
    for key, number in flatten(value).items():
      yield f'{name}_{key}', number
  elif getattr(value, '_fields', None) == ('mean', 'standard_error'):
    # Recognised by its fields: this package imports no other one.
    yield name, value.mean
    yield f'{name}_standard_error', value.standard_error
  else:
    yield name, value


def is_finite(value: Any) -> bool:
  """Returns whether a value of metrics.jsonl is a number that can be drawn."""
  if not isinstance(value, int | float) or isinstance(value, bool):
    return False
  return abs(value) < _LARGEST


def read_metrics(
  path: pathlib.Path, *, skip_damaged: bool = False
) -> list[dict[str, Any]]:
  """Returns the lines of a metrics.jsonl; a missing file has none.

  An incomplete last line, which a crash may leave, is ignored.

  Args:
    path: File to read.
    skip_damaged: Whether damaged lines are left out.

  Raises:
    UserError: A line does not have the format of `MetricsLogger`, or the file
      is a symbolic link.
  """
  if not path.exists() and not path.is_symlink():
    return []
  records = []
  *lines, _ = files.read_text(path).split('\n')
  for number, line in enumerate(lines, 1):
    try:
      records.append(_parse(line))
    except (ValueError, TypeError, RecursionError) as error:
      if not skip_damaged:
        raise UserError(
          f'{path}, line {number}: damaged ({error}). Remove the line'
        ) from None
  return records


def _parse(line: str) -> dict[str, Any]:
  record = json.loads(line)
  if not isinstance(record, dict):
    raise ValueError('not a JSON object')
  expected = {'step': int, 'epoch': int, 'split': str}
  for name, kind in expected.items():
    if not isinstance(record.get(name), kind):
      raise ValueError(f'{name} is missing or not of type {kind.__name__}')
  for name, value in record.items():
    if not isinstance(value, int | float | str | None):
      raise ValueError(f'{name} is not a number')
  return record


def _record(
  step: int, epoch: int, split: str, metrics: Mapping[str, Any]
) -> dict[str, Any]:
  numbers = {name: _number(x) for name, x in flatten(metrics).items()}
  return {'step': step, 'epoch': epoch, 'split': split} | numbers


def _number(value: Any) -> Any:
  if isinstance(value, int | str):
    return value
  value = float(value)
  return value if math.isfinite(value) else None


def bars() -> Any:
  """Returns the class of progress bars, which reading metrics does not need."""
  with needs():
    from tqdm import tqdm
  return tqdm


class Progress:
  """Progress bar over examples on a terminal; plain lines in a pipe.

  Args:
    total: Total number of examples.
    done: Number of examples processed before, by a run that is resumed.
    description: Text in front of the bar.
  """

  def __init__(self, total: int, done: int = 0, description: str = ''):
    self._terminal = sys.stderr.isatty()
    self._bar = bars()(
      total=total,
      initial=done,
      desc=description,
      unit=' examples',
      unit_scale=True,
      disable=not self._terminal,
      dynamic_ncols=True,
    )

  def advance(self, examples: int, note: str) -> None:
    """Advances the bar and shows a note behind it.

    Raises:
      Stopped: A signal asked the program to end.
    """
    signals.check()
    self._bar.set_postfix_str(note, refresh=False)
    self._bar.update(examples)

  def line(self, text: str) -> None:
    """Prints a line, on a terminal above the bar."""
    with bars().external_write_mode():
      print(text, flush=True)

  def __enter__(self) -> 'Progress':
    return self

  def __exit__(self, *exception: object) -> None:
    self._bar.close()


def track(description: str, items: Iterable[Any]) -> Iterator[Any]:
  """Yields the items; shows a progress bar on a terminal, lines in a pipe.

  Raises:
    Stopped: A signal asked the program to end.
  """
  terminal, total = sys.stderr.isatty(), None
  if isinstance(items, Sized):
    total = len(items)
  shown = -math.inf
  bar = bars()(items, desc=description, disable=not terminal, leave=False)
  for done, item in enumerate(bar):
    signals.check()
    now = time.monotonic()
    if not terminal and now - shown >= _SECONDS_PER_LINE:
      count = f'{done} done' if total is None else f'{done} of {total}'
      print(f'{description}: {count}', flush=True)
      shown = now
    yield item


def format_table(title: str, rows: Iterable[tuple[str, str]]) -> str:
  """Returns a title and two aligned columns as text."""
  rows = list(rows)
  width = max(len(name) for name, _ in rows)
  return '\n'.join([title, *(f'  {name:<{width}}  {x}' for name, x in rows)])
