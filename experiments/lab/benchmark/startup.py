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
from vae_jax.runs.folder_path import create_folder
from vae_jax.runs.save_figure import save_figure

BASE = 'import jax, flax.linen, optax'
IMPORTS = {BASE: BASE, 'import vae_jax': 'import vae_jax'}
REPORTS = ('full', 'table', 'none')
_NUM_EPOCHS = 2
_ROOT = pathlib.Path(experiments.__file__).parents[1]


class Cost(NamedTuple):
  """Time and compiled programs of one process.

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
  with tempfile.TemporaryDirectory() as name:
    scratch = pathlib.Path(name)
    # Fills the caches of bytecode and of compiled programs.
    measure(options.platform, scratch)
    rounds = [
      measure(options.platform, scratch)
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


def measure(platform: str, scratch: pathlib.Path) -> dict[str, Cost]:
  """Returns the cost of each case in one round.

  Args:
    platform: device to train on.
    scratch: folder of the caches of all rounds.
  """
  found = {
    name: _import(scratch, statement) for name, statement in IMPORTS.items()
  }
  for report in REPORTS:
    start, end = _train(scratch, platform, f'--report={report}')
    found.setdefault('command to first step', start)
    found[f'report, {report}'] = end
  flag = f'--compile_cache={scratch}/compiled'
  start, end = _train(scratch, platform, flag)
  return found | {
    'command to first step, cached': start,
    'report, full, cached': end,
  }


def _import(scratch: pathlib.Path, statement: str) -> Cost:
  before = resource.getrusage(resource.RUSAGE_CHILDREN)
  start = time.perf_counter()
  run_python(scratch, '-c', statement)
  seconds = time.perf_counter() - start
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  user = after.ru_utime - before.ru_utime
  return Cost(seconds, user + after.ru_stime - before.ru_stime)


def _train(
  scratch: pathlib.Path, platform: str, *more: str
) -> tuple[Cost, Cost]:
  """Trains on the digits in a new process.

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
    output = run_python(scratch, '-m', module, str(time.time()), *flags)
  marks = json.loads(output.splitlines()[-1])
  first, trained, end = (Cost(*marks[x]) for x in ('first', 'trained', 'end'))
  report = Cost(
    end.seconds - trained.seconds,
    end.cpu_seconds - trained.cpu_seconds,
    end.programs - trained.programs,
  )
  return first, report


def run_python(scratch: pathlib.Path, *arguments: str) -> str:
  """Runs Python in a new process and returns what it printed.

  Args:
    scratch: folder of the bytecode, which users have and some machines do not
      keep.
    *arguments: arguments of Python.

  Raises:
    UserError: the process fails.
  """
  paths = [str(_ROOT), os.environ.get('PYTHONPATH', '')]
  environment = os.environ | {
    'PYTHONPATH': os.pathsep.join(filter(None, paths)),
    'PYTHONPYCACHEPREFIX': str(scratch / 'bytecode'),
    'PYTHONDONTWRITEBYTECODE': '',
  }
  done = subprocess.run(
    [sys.executable, '-P', *arguments],
    env=environment,
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
