"""Interleaved timing of cases, as ratios within each round.

Timings drift and differ between machines. Therefore every round times every
case, and each time is divided by that of the reference in the same round.
"""

import pathlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vae_jax import plots
from vae_jax.io import logger
from vae_jax.runs.save_figure import save_figure

# Takes the given number of steps and waits for the result.
Call = Callable[[int], None]

# Target duration of a call, and maximum steps per call.
SECONDS, STEPS = 0.2, 200


class Timing(NamedTuple):
  """Step time of one case.

  Attributes:
    case: name of the case.
    milliseconds: median time per step over rounds.
    ratio: median over rounds of the step time relative to the reference.
    low: first quartile of the ratio.
    high: third quartile of the ratio.
  """

  case: str
  milliseconds: float
  ratio: float
  low: float
  high: float


def measure(
  calls: Mapping[str, Call],
  reference: str,
  num_rounds: int,
  num_steps: int | None = None,
) -> list[Timing]:
  """Times each case in every round.

  Args:
    calls: name of a case -> its steps; the first call may compile.
    reference: name of the case that the ratios are relative to.
    num_rounds: number of rounds, at least 2.
    num_steps: steps per call; None for as many as take about `SECONDS`.
  """
  counts = {}
  for name, call in calls.items():
    call(num_steps or 1)  # Compiles.
    counts[name] = num_steps or count_steps(call)
  rounds = [
    {name: seconds_per_step(call, counts[name]) for name, call in calls.items()}
    for _ in logger.track('rounds', range(num_rounds))
  ]
  return [summarise(name, reference, rounds) for name in calls]


def count_steps(call: Call) -> int:
  """Returns the number of steps that takes about `SECONDS`, <= `STEPS`."""
  count = 1
  while (seconds := seconds_per_step(call, count) * count) < SECONDS:
    count = max(2 * count, int(count * SECONDS / seconds))
    if count >= STEPS:
      return STEPS
  return count


def seconds_per_step(call: Call, count: int) -> float:
  """Returns the time per step of a call of `count` steps."""
  started = time.perf_counter()
  call(count)
  return (time.perf_counter() - started) / count


def summarise(
  name: str, reference: str, rounds: Sequence[Mapping[str, float]]
) -> Timing:
  """Returns medians and quartiles of a case over rounds."""
  ratios = [seconds[name] / seconds[reference] for seconds in rounds]
  low, _, high = statistics.quantiles(ratios, n=4, method='inclusive')
  return Timing(
    name,
    1e3 * statistics.median(seconds[name] for seconds in rounds),
    statistics.median(ratios),
    low,
    high,
  )


def format_timings(title: str, timings: Sequence[Timing]) -> str:
  """Returns the table of a comparison."""
  rows = [
    (
      t.case,
      f'{t.milliseconds:9.3f} ms {t.ratio:7.2f} ({t.low:.2f} to {t.high:.2f})',
    )
    for t in timings
  ]
  return logger.format_table(title, rows)


def draw(
  path: pathlib.Path, title: str, timings: Sequence[Timing]
) -> pathlib.Path:
  """Draws the ratios with their quartiles; returns the path."""
  error = [
    [t.ratio - t.low for t in timings],
    [t.high - t.ratio for t in timings],
  ]
  bars = plots.Bars(
    np.arange(len(timings)),
    np.array([t.ratio for t in timings]),
    np.array(error),
  )
  figure = plots.bars(
    title,
    ('', 'time ratio (median and quartiles over rounds)'),
    {'median': bars},
    [t.case.replace(', ', '\n') for t in timings],
  )
  return save_figure(path, figure)
