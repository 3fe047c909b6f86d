"""Time and compiled programs at the start and at the end of a command.

Each measurement is a new process: the imports, and a training run of two
epochs on the digits, whose report is full, a table or left out.
"""

import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import experiments
from experiments.lab.benchmark import estimators
from experiments.lab.config import BenchmarkConfig
from vae_jax import plots
from vae_jax.errors import UserError
from vae_jax.io import devices, logger
from vae_jax.io.results import write_results
from vae_jax.runs.folder import create_folder
from vae_jax.runs.save_figure import save_figure

BASE = 'import jax, flax.linen, optax'
IMPORTS = {BASE: BASE, 'import vae_jax': 'import vae_jax'}
REPORTS = ('full', 'table', 'none')
_NUM_EPOCHS = 2
_ROOT = pathlib.Path(experiments.__file__).parents[1]


class Cost(NamedTuple):
  """What one process took.

  Attributes:
    seconds: wall time.
    cpu_seconds: user and system time, which depends less on other processes.
    programs: number of compiled programs.
  """

  seconds: float
  cpu_seconds: float
  programs: int = 0


class Startup(NamedTuple):
  """Cost of one case over rounds.

  Attributes:
    case: name of the case.
    seconds: median wall time.
    low: first quartile of the wall time.
    high: third quartile of the wall time.
    ratio: median over rounds of the wall time relative to the reference.
    ratio_low: first quartile of the ratio.
    ratio_high: third quartile of the ratio.
    cpu_seconds: median user and system time.
    programs: median number of compiled programs.
  """

  case: str
  seconds: float
  low: float
  high: float
  ratio: float
  ratio_low: float
  ratio_high: float
  cpu_seconds: float
  programs: int


def run(options: BenchmarkConfig) -> list[Startup]:
  """Measures every case, prints a table, writes results.json and a figure."""
  device = devices.select(options.platform)
  folder = create_folder(options.workdir)
  print(f'{options.num_rounds} rounds, on {device}', flush=True)
  with tempfile.TemporaryDirectory() as scratch:
    cache = pathlib.Path(scratch, 'compiled')
    # Fills the caches of Python and, once, that of compiled programs.
    _measure(options, cache)
    rounds = [
      _measure(options, cache)
      for _ in logger.track('rounds', range(options.num_rounds))
    ]
  found = [summarise(case, rounds) for case in rounds[0]]
  title = f'Wall time, its ratio to {BASE}, CPU time and programs (quartiles)'
  print(logger.format_table(title, map(_row, found)))
  paths = [
    write_results(folder / estimators.RESULTS, found),
    save_figure(folder / 'startup.png', _draw(found)),
  ]
  print('Written:', *(f'  {path}' for path in paths), sep='\n')
  return found


def _measure(options: BenchmarkConfig, cache: pathlib.Path) -> dict[str, Cost]:
  """Returns the cost of each case in one round, interleaved."""
  found = {name: _import(statement) for name, statement in IMPORTS.items()}
  for report in REPORTS:
    flags = f'--report={report}'
    start, end = train(options.platform, flags)
    if report == REPORTS[0]:
      found['command to first step'] = start
    found[f'report, {report}'] = end
  flags = f'--compile_cache={cache}'
  start, end = train(options.platform, flags)
  names = ('command to first step, cached', 'report, full, cached')
  return found | dict(zip(names, (start, end), strict=True))


def _import(statement: str) -> Cost:
  before = resource.getrusage(resource.RUSAGE_CHILDREN)
  start = time.perf_counter()
  _run('-c', statement)
  seconds = time.perf_counter() - start
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  cpu = sum(
    getattr(after, name) - getattr(before, name)
    for name in ('ru_utime', 'ru_stime')
  )
  return Cost(seconds, cpu)


def train(platform: str, *more: str) -> tuple[Cost, Cost]:
  """Trains on the digits in a new process.

  Args:
    platform: device to train on.
    *more: further flags of `train`.

  Returns:
    (start, end): the cost up to the end of the first call of training steps,
    and from the end of training to that of the report.
  """
  with tempfile.TemporaryDirectory() as folder:
    module = 'experiments.lab.benchmark.startup_child'
    flags = (
      *(f'--workdir={folder}/run', f'--num_epochs={_NUM_EPOCHS}'),
      *(f'--platform={platform}', *more),
    )
    output = _run('-m', module, str(time.time()), *flags)
  marks = json.loads(output.splitlines()[-1])
  first, trained, end = (Cost(*marks[x]) for x in ('first', 'trained', 'end'))
  report = (a - b for a, b in zip(end, trained, strict=True))
  seconds, cpu_seconds, programs = report
  return first, Cost(seconds, cpu_seconds, int(programs))


def _run(*arguments: str) -> str:
  """Runs Python in a new process and returns what it printed.

  Raises:
    UserError: the process fails.
  """
  paths = [str(_ROOT), os.environ.get('PYTHONPATH', '')]
  done = subprocess.run(
    [sys.executable, '-P', *arguments],
    env=os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, paths))},
    capture_output=True,
    text=True,
  )
  if done.returncode:
    raise UserError(
      f'{" ".join(arguments)[:80]}: got exit code {done.returncode}, expected '
      f'0. It printed: {done.stderr[-500:]}'
    )
  return done.stdout


def summarise(case: str, rounds: Sequence[Mapping[str, Cost]]) -> Startup:
  """Returns medians and quartiles of a case over rounds."""
  costs = [each[case] for each in rounds]
  seconds = [cost.seconds for cost in costs]
  ratios = [each[case].seconds / each[BASE].seconds for each in rounds]
  low, median, high = _quartiles(seconds)
  ratio_low, ratio, ratio_high = _quartiles(ratios)
  return Startup(
    case,
    *(median, low, high, ratio, ratio_low, ratio_high),
    statistics.median(cost.cpu_seconds for cost in costs),
    int(statistics.median(cost.programs for cost in costs)),
  )


def _quartiles(values: Sequence[float]) -> list[float]:
  return statistics.quantiles(values, n=4, method='inclusive')


def _row(x: Startup) -> tuple[str, str]:
  return x.case, (
    f'{x.seconds:7.2f} s ({x.low:.2f} to {x.high:.2f}) {x.ratio:6.2f} '
    f'({x.ratio_low:.2f} to {x.ratio_high:.2f}) {x.cpu_seconds:7.2f} s '
    f'{x.programs:4d}'
  )


def _draw(found: Sequence[Startup]) -> Any:
  errors = [
    [x.seconds - x.low for x in found],
    [x.high - x.seconds for x in found],
  ]
  bars = plots.Bars(
    np.arange(len(found)),
    np.array([x.seconds for x in found]),
    np.array(errors),
  )
  return plots.bars(
    'Start and end of a command',
    ('', 'seconds (median and quartiles over rounds)'),
    {'median': bars},
    [x.case.replace(', ', '\n') for x in found],
  )
