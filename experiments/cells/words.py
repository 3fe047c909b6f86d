"""Numbers of results in words, for the terminal and for tables."""

from experiments.cells.published import ELBO
from experiments.cells.results import Number, Result

NOT_FINISHED = 'not finished'


def number(value: Number | None, decimals: int = 2) -> str:
  """Returns a mean with its standard error, '' for None."""
  if value is None:
    return ''
  mean, error = value
  spread = '' if error is None else f' +- {error:.{decimals}f}'
  return f'{mean:.{decimals}f}{spread}'


def units(active: list[float] | None) -> str:
  """Returns active units by layer, such as 16+5, with at most one decimal."""
  return '+'.join(f'{x:.1f}'.removesuffix('.0') for x in active or ())


def duration(seconds: float | None) -> str:
  """Returns a duration with two digits, '' for None."""
  if seconds is None:
    return ''
  for unit, size in (('h', 3600), ('min', 60)):
    if seconds >= size:
      return f'{seconds / size:.2g} {unit}'
  return f'{max(seconds, 1):.0f} s'


def error_over(result: Result) -> str:
  """Returns over what the standard errors of a result are."""
  if result.num_seeds > 1:
    return f'{result.num_seeds} seeds'
  return 'test examples, one seed'


def compare(result: Result) -> str:
  """Returns lines with our number of a cell beside the published one."""
  lines = [f'{result.name}: {result.title}']
  row = lambda name, value: lines.append(f'  {name:<14}{value}')
  if not result.finished:
    row('ours', NOT_FINISHED)
  elif result.variances:
    for name, variance in sorted(result.variances.items(), key=lambda x: x[1]):
      row('ours', f'{name}: gradient variance {variance:.4g}')
  else:
    error = f'(standard error over {error_over(result)})'
    nll = f'NLL {number(result.nll)} nats, K = {result.samples}'
    elbo = f'ELBO {number(result.elbo)} nats'
    first, second = (elbo, nll) if result.metric == ELBO else (nll, elbo)
    row('ours', f'{first} {error}')
    row('', second)
    row('', f'active units {units(result.active)}, {result.epochs} epochs')
  if result.source:
    row('published', _published(result))
  if result.finished and result.published and result.nll:
    mean = result.nll[0] or 0.0
    row('difference', f'{mean - float(result.published):+.2f} nats')
  return '\n'.join(lines)


def _published(result: Result) -> str:
  parts = [result.source]
  if result.published:
    parts.insert(0, f'NLL {result.published} nats')
  if result.published_active:
    parts.append(f'active units {result.published_active}')
  return ', '.join([*parts, result.note] if result.note else parts)
