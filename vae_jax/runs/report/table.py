"""Tables of metrics: rows of a name and a number with its unit."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from vae_jax.evaluate import Estimate, estimate_mean
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
  'calibration_simulations': 'Calibration, simulations',
  'calibration_p_value': 'p-value of q(z|x) = p(z|x)',
  'calibration_rejected': 'units with p < 0.01',
  'calibration_power': 'power against 0.8 sigma',
  'calibration_spread': 'variance of ranks / uniform',
  'weights_examples': 'Importance weights, examples',
  'weights_nll': 'NLL of these',
  'weights_smoothed_nll': 'NLL, smoothed weights',
  'weights_pareto_k': 'k-hat, median',
  'weights_reliable': 'share with k-hat < 0.7',
}


class Number(NamedTuple):
  """A number of a table: a whole one, a float or an `Estimate`.

  Attributes:
    value: the number.
    unit: unit, or words behind the number.
    decimals: digits after the point of a float.
  """

  value: Any
  unit: str = ''
  decimals: int = 3

  def __str__(self) -> str:
    if isinstance(self.value, int):
      return f'{self.value:6d} {self.unit}'.rstrip()
    text = nats(self.value, decimals=self.decimals, unit=self.unit)
    return text.rstrip()


def rows(
  metrics: Metrics, informative: int | None = None, *, given: str = ''
) -> list[Row]:
  """Returns the rows of the metrics that are present.

  Args:
    metrics: of `measure`, and more.
    informative: number of latent units with more than 0.1 nats of KL.
    given: words behind NLL, such as ' of x given y'.
  """
  numbers = _numbers(metrics, informative, given)
  return [(words, str(x)) for words, x in numbers]


def rows_over_seeds(each: Sequence[Metrics], *, given: str = '') -> list[Row]:
  """Returns the rows of a run of many seeds.

  Each number is the mean over the seeds with the standard error of that mean,
  in place of one over examples; a whole number that is equal in all is alone.

  Args:
    each: metrics of each seed, by the same names.
    given: as in `rows`.
  """
  table = []
  numbers = [_numbers(metrics, given=given) for metrics in each]
  for same in zip(*numbers, strict=True):
    words, first = same[0]
    values = [number.value for _, number in same]
    if isinstance(first.value, int) and len({*values}) == 1:
      value: Any = first.value
    else:
      means = [x.mean if isinstance(x, Estimate) else x for x in values]
      value = estimate_mean(np.array(means, np.float64))
    table.append((words, str(first._replace(value=value))))
  return table


def _numbers(
  m: Metrics, informative: int | None = None, given: str = ''
) -> Iterator[tuple[str, Number]]:
  """Yields the words and the number of each row."""
  yield 'ELBO', Number(m['elbo'], 'nats')
  yield '= log likelihood', Number(m['log_likelihood'], 'nats')
  yield '- KL', Number(m['kl'], 'nats')
  for k, nll in nll_curve(m).items():
    yield f'NLL{given}, K = {k}', Number(nll, 'nats')
  if 'classification_error' in m:
    yield 'ELBO of x, y summed out', Number(m['unlabelled_elbo'], 'nats')
    error = m['classification_error']
    yield 'classification error', Number(error, 'of the examples', 4)
  yield from _best_rows(m, given)
  yield from _unit_rows(m, informative)
  yield from _exact_rows(m)
  yield from _more_rows(m)


def _best_rows(m: Metrics, given: str) -> Iterator[tuple[str, Number]]:
  if 'best_epoch' in m:
    at = f'best checkpoint (epoch {m["best_epoch"]})'
    yield f'ELBO, {at}', Number(m['best_elbo'], 'nats')
    yield (
      f'NLL{given}, K = {m["nll_num_samples"]}, {at}',
      Number(m['best_nll'], 'nats'),
    )


def _unit_rows(
  m: Metrics, informative: int | None
) -> Iterator[tuple[str, Number]]:
  if 'active_units' in m:
    words = f'of {m["latent_units"]}'
    if informative is not None:
      words += f', {informative} with more than 0.1 nats of KL'
    yield 'active units', Number(m['active_units'], words)
  for name in _layers(m):
    words = f'of {m[f"latent_units_{name}"]}'
    yield f'active units, {name}', Number(m[f'active_units_{name}'], words)
  for name in _layers(m):
    yield f'KL, {name}', Number(m[f'kl_{name}'], 'nats')
  if 'bits_per_dimension' in m:
    yield 'bits per dimension', Number(m['bits_per_dimension'], 'bits')


def _layers(m: Metrics) -> list[str]:
  """Returns the names of several stochastic layers."""
  prefix = 'latent_units_'
  return [name.removeprefix(prefix) for name in m if name.startswith(prefix)]


def _exact_rows(m: Metrics) -> Iterator[tuple[str, Number]]:
  if 'log_marginal' not in m:
    return
  exact_gap = m['log_marginal'].mean - m['exact_elbo']
  yield 'log p(x)', Number(m['log_marginal'], 'nats')
  yield 'log p(x) - ELBO', Number(m['gap'], 'nats', 5)
  yield 'log p(x) - exact ELBO', Number(exact_gap, 'nats', 5)
  yield 'KL(q(z|x) || p(z|x))', Number(m['posterior_kl'], 'nats', 5)
  if 'train_log_marginal' in m:
    yield 'log p(x) in training', Number(m['train_log_marginal'], 'nats')
    yield 'its maximum', Number(m['max_train_log_marginal'], 'nats')


def _more_rows(m: Metrics) -> Iterator[tuple[str, Number]]:
  for name, words in _MORE.items():
    if name in m:
      has_unit = isinstance(m[name], Estimate)
      yield words, Number(m[name], 'nats' if has_unit else '')


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
