"""A table in a .csv file: rows of numbers, perhaps a header and labels."""

import csv
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from vae_jax.data.from_arrays import Tell, from_arrays
from vae_jax.data.memory import check_fits
from vae_jax.data.split import Split, printable
from vae_jax.data.transform import Transform
from vae_jax.errors import UserError

# Names of the column of labels.
_LABELS = ('label', 'labels', 'class', 'target')


def read_csv(
  path: pathlib.Path, transform: Transform, tell: Tell
) -> Mapping[str, Split]:
  """Reads a table of numbers, split at random but always alike.

  A first line with a word that is not a number is a header. A column with the
  name label, labels, class or target holds the labels, numbers or names.

  Args:
    path: the file.
    transform: has the shape of images in rows, such as 28,28.
    tell: is called with a sentence on each change.

  Raises:
    UserError: the file is not a table of numbers; the line names the place.
  """
  try:
    # Each number takes a few characters, and then 8 bytes and an object.
    check_fits(f'--dataset={path}', 8 * path.stat().st_size)
    with path.open(newline='', encoding='utf-8-sig') as file:
      x, labels = _read(path, csv.reader(file, strict=True), tell)
  except OSError as error:
    raise UserError(f'{path}: cannot be read ({error.strerror})') from None
  except (csv.Error, UnicodeDecodeError) as error:
    reason = ' '.join(str(error).split())[:200]
    raise UserError(
      f'{path}: got text that is not a table ({reason}), expected numbers '
      'separated by commas. Save it again'
    ) from None
  return from_arrays(str(path), {'': (x, labels)}, transform, tell)


def _read(
  path: pathlib.Path, rows: Iterator[list[str]], tell: Tell
) -> tuple[np.ndarray, np.ndarray | None]:
  """Returns numbers `[N, D]` and labels `[N]` or None."""
  first = next(rows, None)
  if first is None:
    raise UserError(f'{path}: got an empty file, expected a table of numbers')
  words = [text for text in first if not _is_number(text)]
  has_header = bool(words)
  if has_header and len(words) < len(first):
    raise UserError(
      f'{path}: got {printable(words[0][:40])!r} among numbers in the first '
      'line, expected numbers only, or a header of names. Add a header with '
      'names, where the column of labels is `label`'
    )
  header = [name.strip().lower() for name in first] if has_header else []
  places = [i for i, name in enumerate(header) if name in _LABELS]
  if len(places) > 1:
    raise UserError(
      f'{path}: got {len(places)} columns of labels, expected one. Rename the '
      'others'
    )
  body = rows if has_header else _after(first, rows)
  table, labels = _numbers(path, body, len(first), places, 1 + has_header)
  if has_header:
    named = [f'; labels are the column {printable(first[i])!r}' for i in places]
    tell(f'{path}: the first line is a header{"".join(named)}')
  if not places:
    return table, None
  return table, _as_labels(labels)


def _after(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
  yield first
  yield from rows


def _numbers(
  path: pathlib.Path,
  rows: Iterator[list[str]],
  width: int,
  places: Sequence[int],
  start: int,
) -> tuple[np.ndarray, list[str]]:
  """Returns the numbers and the labels of all rows."""
  kept = [i for i in range(width) if i not in places]
  numbers, labels = [], []
  for line, row in enumerate(rows, start):
    if not row:
      continue
    if len(row) != width:
      raise UserError(
        f'{path}: got {len(row)} columns in line {line}, expected {width} as '
        'in the first. Mend the line'
      )
    try:
      numbers.append(np.array([_number(row[i]) for i in kept]))
    except ValueError:
      bad = next(i for i in kept if not _is_number(row[i]))
      raise UserError(
        f'{path}: got {printable(row[bad][:40])!r} in line {line}, column '
        f'{bad + 1}, expected a number. Name a column of labels `label`, and '
        'remove other words'
      ) from None
    labels += [row[i].strip() for i in places]
  if not numbers or not kept:
    raise UserError(f'{path}: got no number, expected a table of numbers')
  table = np.stack(numbers)
  is_whole = np.all(np.abs(table) < 2**53) and np.all(table == np.rint(table))
  return (table.astype(np.int64) if is_whole else table), labels


def _as_labels(labels: list[str]) -> np.ndarray:
  """Returns whole numbers where all labels are such, and else names."""
  if all(map(_is_number, labels)):
    values = np.array([float(x) for x in labels])
    if np.all(values == np.rint(values)):
      return values.astype(np.int64)
    return values
  return np.array(labels)


def _number(text: str) -> float:
  # Python reads 1_000 as a number, which no other program does.
  return float('' if '_' in text else text)


def _is_number(text: str) -> bool:
  try:
    _number(text)
  except ValueError:
    return False
  return True
