"""Metrics to a file; progress to a terminal or, plainly, to a pipe."""

import json
import math
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tqdm import tqdm

from vae_jax import files, signals
from vae_jax.errors import UserError


class MetricsLogger:
  """Appends one JSON object a line to metrics.jsonl."""

  def __init__(self, path: pathlib.Path):
    self._path = path

  def write(
    self, step: int, epoch: int, split: str, values: Mapping[str, Any]
  ) -> None:
    """Appends a line; a number that is not finite becomes null."""
    self._append(_record(step, epoch, split, values))

  def write_once(
    self, step: int, epoch: int, split: str, values: Mapping[str, Any]
  ) -> None:
    """As `write`, unless the same line stands there already."""
    record = _record(step, epoch, split, values)
    if record not in self.read():
      self._append(record)

  def _append(self, record: Mapping[str, Any]) -> None:
    files.append_line(self._path, json.dumps(record))

  def rewind(self, step: int) -> None:
    """Drops what a run that goes on after `step` will write again."""
    lines = read_metrics(self._path)
    kept = [line for line in lines if line['step'] <= step]
    text = ''.join(json.dumps(line) + '\n' for line in kept)
    files.write_text(self._path, text)

  def sync(self) -> None:
    """Waits until every line is on the disk."""
    if self._path.exists():
      files.sync(self._path)

  def read(self) -> list[dict[str, Any]]:
    """Returns every line."""
    return read_metrics(self._path)


def read_metrics(path: pathlib.Path) -> list[dict[str, Any]]:
  """Returns the lines of a metrics.jsonl; a missing file has none.

  A last line that was cut short by a crash is dropped.

  Raises:
    UserError: a line is not what `MetricsLogger` writes, or the file is a
      symbolic link.
  """
  if not path.exists() and not path.is_symlink():
    return []
  records = []
  *lines, _ = files.read_text(path).split('\n')
  for number, line in enumerate(lines, 1):
    try:
      records.append(_parse(line))
    except (ValueError, TypeError, RecursionError) as error:
      raise UserError(f'{path}, line {number}: damaged ({error})') from None
  return records


def _parse(line: str) -> dict[str, Any]:
  record = json.loads(line)
  if not isinstance(record, dict):
    raise ValueError('no JSON object')
  wanted = {'step': int, 'epoch': int, 'split': str}
  for name, kind in wanted.items():
    if not isinstance(record.get(name), kind):
      raise ValueError(f'no {name}')
  for name, value in record.items():
    if not isinstance(value, int | float | str | None):
      raise ValueError(f'{name} is no number')
  return record


def _record(
  step: int, epoch: int, split: str, values: Mapping[str, Any]
) -> dict[str, Any]:
  numbers = {name: _number(value) for name, value in values.items()}
  return {'step': step, 'epoch': epoch, 'split': split} | numbers


def _number(value: Any) -> Any:
  if isinstance(value, int | str):
    return value
  value = float(value)
  return value if math.isfinite(value) else None


class Progress:
  """A bar over the examples of a run on a terminal, plain lines elsewhere."""

  def __init__(self, total: int, done: int = 0, description: str = ''):
    self._terminal = sys.stderr.isatty()
    self._bar = tqdm(
      total=total,
      initial=done,
      desc=description,
      unit=' examples',
      unit_scale=True,
      disable=not self._terminal,
      dynamic_ncols=True,
    )

  def advance(self, examples: int, note: str) -> None:
    """Moves the bar on; the note stands behind it."""
    signals.check()
    self._bar.set_postfix_str(note, refresh=False)
    self._bar.update(examples)

  def line(self, text: str) -> None:
    """Says what the bar cannot, where there is none."""
    if not self._terminal:
      print(text, flush=True)

  def __enter__(self) -> 'Progress':
    return self

  def __exit__(self, *exception: object) -> None:
    self._bar.close()


def track(description: str, items: Iterable[Any]) -> Iterator[Any]:
  """Yields the items, with a bar on a terminal."""
  terminal = sys.stderr.isatty()
  for item in tqdm(items, desc=description, disable=not terminal, leave=False):
    signals.check()
    yield item


def format_table(title: str, rows: Iterable[tuple[str, str]]) -> str:
  """Returns a title and two aligned columns."""
  rows = list(rows)
  width = max(len(name) for name, _ in rows)
  return '\n'.join([title, *(f'  {name:<{width}}  {x}' for name, x in rows)])
