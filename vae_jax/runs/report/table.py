"""Tables of metrics: rows of a name and a number with its unit."""

import math
from collections.abc import Iterator
from typing import Any

from vae_jax.runs.report.metrics import Metrics, nll_curve

Row = tuple[str, str]

# Path of a metric -> its words, in the order of the table.
_MORE = {
  'nll_without_dead_units': 'NLL without inactive units',
  'gap_examples': 'Gaps, examples',
  'gap_log_marginal': 'log p(x), by q*',
  'gap_best_elbo': 'L[q*], the best q',
  'gap_elbo': "L[q], the encoder's",
  'gap_approximation': 'log p(x) - L[q*]',
  'gap_amortisation': 'L[q*] - L[q]',
  'sandwich_examples': 'Annealing, examples',
  'sandwich_upper': 'log p(x) <=, simulated',
  'sandwich_lower': 'log p(x) >=, simulated',
  'sandwich_gap': 'upper - lower, simulated',
  'sandwich_upper_acceptance_rate': 'acceptance rate, upper',
  'sandwich_lower_acceptance_rate': 'acceptance rate, lower',
  'ais': 'log p(x) >=, this split',
  'ais_acceptance_rate': 'acceptance rate, this split',
}


def rows(metrics: Metrics, informative: int | None = None) -> list[Row]:
  """Returns the rows of the metrics that are present.

  Args:
    metrics: of `measure`, and more.
    informative: number of latent units with more than 0.1 nats of KL.
  """
  m = metrics
  return [
    ('ELBO', nats(m['elbo'])),
    ('= log likelihood', nats(m['log_likelihood'])),
    ('- KL', nats(m['kl'])),
    *((f'NLL, K = {k}', nats(nll)) for k, nll in nll_curve(m).items()),
    *_best_rows(m),
    *_unit_rows(m, informative),
    *_exact_rows(m),
    *_more_rows(m),
  ]


def _best_rows(m: Metrics) -> Iterator[Row]:
  if 'best_epoch' in m:
    at = f'best checkpoint (epoch {m["best_epoch"]})'
    yield f'ELBO, {at}', nats(m['best_elbo'])
    yield f'NLL, K = {m["nll_num_samples"]}, {at}', nats(m['best_nll'])


def _unit_rows(m: Metrics, informative: int | None) -> Iterator[Row]:
  if 'active_units' in m:
    active = f'{m["active_units"]:6d} of {m["latent_units"]}'
    if informative is not None:
      active += f', {informative} with more than 0.1 nats of KL'
    yield 'active units', active
  if 'bits_per_dimension' in m:
    yield 'bits per dimension', nats(m['bits_per_dimension'], unit='bits')


def _exact_rows(m: Metrics) -> Iterator[Row]:
  if 'log_marginal' not in m:
    return
  exact_gap = m['log_marginal'].mean - m['exact_elbo']
  yield 'log p(x)', nats(m['log_marginal'])
  yield 'log p(x) - ELBO', nats(m['gap'], decimals=5)
  yield 'log p(x) - exact ELBO', nats(exact_gap, decimals=5)
  yield 'KL(q(z|x) || p(z|x))', nats(m['posterior_kl'], decimals=5)
  if 'train_log_marginal' in m:
    yield 'log p(x) in training', nats(m['train_log_marginal'])
    yield 'its maximum', nats(m['max_train_log_marginal'])


def _more_rows(m: Metrics) -> Iterator[Row]:
  for name, words in _MORE.items():
    if name not in m:
      continue
    value = m[name]
    if isinstance(value, int):
      yield words, f'{value:6d}'
    elif isinstance(value, float):
      yield words, f'{value:10.3f}'
    else:
      yield words, nats(value)


def nats(value: Any, *, decimals: int = 3, unit: str = 'nats') -> str:
  """Formats a number, or an `Estimate` with its standard error.

  Args:
    value: a float or an `Estimate`.
    decimals: digits after the point; the points of all rows are aligned.
    unit: unit of the number.
  """
  number, error = (value, None) if isinstance(value, float) else value
  text = f'{number:{decimals + 7}.{decimals}f}'
  # One example has no standard error.
  known = error is not None and not math.isnan(error)
  spread = f' +- {error:.{decimals}f}' if known else ''
  return f'{text}{spread} {unit}'
