"""Tables of results in Markdown, as the README has them."""

import textwrap
from collections.abc import Callable, Iterable, Sequence

from experiments.cells.published import ELBO
from experiments.cells.results import Result
from experiments.cells.words import NOT_FINISHED, duration, number, units

# Head of a column -> its text of a finished result.
Columns = dict[str, Callable[[Result], str]]

_DATA = {'mnist': 'MNIST', 'fashion': 'Fashion-MNIST'}


def render(results: Sequence[Result]) -> str:
  """Returns all tables, in Markdown."""
  published = [x for x in results if x.source and x.samples]
  bounds = [x for x in published if x.metric == ELBO]
  own = [x for x in results if not x.source]
  tables = [
    *_published([x for x in published if x.metric != ELBO]),
    *_bounds(bounds),
    *_variances([x for x in results if not x.samples]),
  ]
  for prefix, words in _DATA.items():
    some = [x for x in own if x.name.startswith(f'{prefix}_')]
    tables += _equal_budget(words, some)
  return '\n\n'.join(tables)


def _table(
  results: Sequence[Result],
  left: Columns,
  columns: Columns,
  right: Columns | None = None,
) -> str:
  """Returns a table; `columns` are of finished results only."""
  right = right or {}
  rows = [[*left, *columns, *right]]
  for x in results:
    ours = [f(x) if x.finished else '' for f in columns.values()]
    if not x.finished:
      ours[0] = NOT_FINISHED
    beside = lambda some, x=x: [f(x) for f in some.values()]
    rows.append([*beside(left), *ours, *beside(right)])
  rows.insert(1, ['---'] * len(rows[0]))
  return '\n'.join(map(_line, rows))


def _line(cells: Iterable[str]) -> str:
  return '| ' + ' | '.join(x.replace('|', '\\|') for x in cells) + ' |'


def _text(words: str) -> str:
  """Returns a paragraph in lines of at most 80 columns."""
  return textwrap.fill(words, 80, break_on_hyphens=False)


def _name(x: Result) -> str:
  return f'`{x.name}`'


def _seeds(x: Result) -> str:
  return str(x.num_seeds)


def _time(x: Result) -> str:
  return duration(None if x.seconds is None else x.seconds / x.num_seeds)


def _nll(x: Result) -> str:
  return number(x.nll)


def _published(results: Sequence[Result]) -> Iterable[str]:
  if not results:
    return
  yield _text(
    'NLL on the test split in nats beside the published number. The standard '
    'error is that over seeds, of one seed that over test examples. Active '
    'units are in parentheses, and time is that of the training per seed.'
  )

  def theirs(x: Result) -> str:
    active = f' ({x.published_active})' if x.published_active else ''
    return f'{x.published}{active}'

  yield _table(
    results,
    {'cell': _name, 'K': lambda x: str(x.samples), 'published': theirs},
    {
      'ours': lambda x: f'{_nll(x)} ({units(x.active)})',
      'seeds': _seeds,
      'epochs': lambda x: str(x.epochs),
      'time': _time,
    },
    {'source': lambda x: '; '.join(filter(None, (x.source, x.note)))},
  )


def _bounds(results: Sequence[Result]) -> Iterable[str]:
  if not results:
    return
  [source] = {x.source for x in results}
  yield _text(
    f'Bounds of {source}, which prints curves and no number; `--table` draws '
    'ours as `curves_mnist.png` and `curves_frey.png`.'
  )

  def gap(x: Result) -> str:
    if x.train_elbo is None or x.elbo is None or x.elbo[0] is None:
      return ''
    return f'{x.train_elbo - x.elbo[0]:.2f}'

  yield _table(
    results,
    {'cell': _name},
    {
      'ELBO, test': lambda x: number(x.elbo),
      'training - test': gap,
      'NLL': lambda x: f'{_nll(x)} (K = {x.samples})',
      'active units': lambda x: units(x.active),
      'seeds': _seeds,
      'epochs': lambda x: str(x.epochs),
    },
  )


def _variances(results: Sequence[Result]) -> Iterable[str]:
  for x in results:
    yield _text(
      f'`{x.name}`, {x.title[0].lower()}{x.title[1:]}, after the last step; '
      f'{x.source}: {x.note}.'
    )
    if not x.finished or not x.variances:
      yield _table([x], {'cell': _name}, {'variance': lambda x: ''})
      continue
    rows = sorted(x.variances.items(), key=lambda pair: pair[1])
    head = [['estimator', 'gradient variance'], ['---', '---']]
    lines = [*head, *([name, f'{value:.4g}'] for name, value in rows)]
    yield '\n'.join(map(_line, lines))


def _equal_budget(data: str, results: Sequence[Result]) -> Iterable[str]:
  if not results:
    return
  [samples] = {x.samples for x in results}
  yield _text(
    f'{data} at equal budget, means +- standard errors over seeds, in nats, '
    f'NLL at K = {samples}. The gaps are those of `evaluate --gaps`, where it '
    'was run; time is that of the training per seed.'
  )
  yield _table(
    results,
    {'cell': _name},
    {
      'NLL': _nll,
      'ELBO': lambda x: number(x.elbo),
      'active units': lambda x: units(x.active),
      'approximation gap': lambda x: number(x.gap_approximation),
      'amortisation gap': lambda x: number(x.gap_amortisation),
      'seeds': _seeds,
      'time': _time,
    },
    {'differs by': lambda x: x.title.partition(': ')[2]},
  )
