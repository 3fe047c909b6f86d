"""How long a step takes, of each estimator: ratios within one run.

Machines are noisy and differ, so every case is timed in every round, one
after the other, and compared with the plain ELBO of the same round.
"""

import dataclasses
import pathlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import data, devices, logger, plots, run, workdir
from vae_jax.config import BenchmarkConfig, Config
from vae_jax.epoch import RunState
from vae_jax.lab.records import write_results
from vae_jax.model import VAE, make_vae

RESULTS = 'results.json'
BASE = 'elbo'
_K = {'num_samples': 5}
CASES: dict[str, dict[str, Any]] = {
  BASE: {},
  'elbo, form joint': {'form': 'joint'},
  'elbo, stl': {'form': 'joint', 'estimator': 'stl'},
  'elbo, score': {'estimator': 'score_function', 'form': 'joint'},
  'elbo, mixture': {'estimator': 'mixture'},
  'elbo, full q': {'posterior': 'full_normal'},
  'iwae, K = 5': {'objective': 'iwae', **_K},
  'iwae, K = 5, dreg': {'objective': 'iwae', 'estimator': 'dreg', **_K},
  'iwae, K = 5, vimco': {'objective': 'iwae', 'estimator': 'vimco', **_K},
  'iwae, K = 5, mixture': {'objective': 'iwae', 'estimator': 'mixture', **_K},
}

# Of the size of MNIST; what is in the pixels costs no time.
_SHAPE = (28, 28, 1)
# A call takes about so long, and no more steps than an epoch has.
_SECONDS, _STEPS = 0.2, 200


class Timing(NamedTuple):
  """One case, over the rounds.

  Attributes:
    case: as printed.
    milliseconds: of a step, the median.
    ratio: of a step to the base's in the same round, the median.
    low, high: the quartiles of that ratio.
  """

  case: str
  milliseconds: float
  ratio: float
  low: float
  high: float


def run_benchmark(options: BenchmarkConfig) -> list[Timing]:
  """Times every case; prints a table, writes results.json and a figure.

  Raises:
    UserError: no such device, or the folder cannot be written to.
  """
  device = devices.select(options.platform)
  folder = workdir.create(options.workdir)
  print(
    f'{options.num_rounds} rounds of every case, batches of '
    f'{options.batch_size}, hidden {options.hidden_sizes}, z of '
    f'{options.latent_dim}, on {device}',
    flush=True,
  )
  calls = _make_calls(options)
  counts = {name: _count(call) for name, call in calls.items()}
  rounds = [
    {name: _seconds(call, counts[name]) for name, call in calls.items()}
    for _ in logger.track('rounds', range(options.num_rounds))
  ]
  timings = [_timing(name, rounds) for name in calls]
  rows = [
    (
      t.case,
      f'{t.milliseconds:9.3f} ms {t.ratio:7.2f} ({t.low:.2f} to {t.high:.2f})',
    )
    for t in timings
  ]
  print(logger.format_table(f'A step, and its ratio to that of {BASE}', rows))
  paths = [write_results(folder / RESULTS, timings), _draw(folder, timings)]
  print('Written:', *(f'  {path}' for path in paths), sep='\n')
  return timings


# Takes so many steps, and waits for them.
Call = Callable[[int], None]


def _make_calls(options: BenchmarkConfig) -> dict[str, Call]:
  random = np.random.RandomState(options.seed)
  images = random.randint(
    0, 256, (_STEPS * options.batch_size, *_SHAPE), np.uint8
  )
  config = Config(
    latent_dim=options.latent_dim,
    hidden_sizes=options.hidden_sizes,
    batch_size=options.batch_size,
    seed=options.seed,
  )
  return {
    name: _training(dataclasses.replace(config, **case), images)
    for name, case in CASES.items()
  }


def _training(config: Config, images: np.ndarray) -> Call:
  """Many steps in one compiled call, as a run takes them."""
  state, steps = _begin(config, images)
  box = [state]

  def call(count: int) -> None:
    # The same place of the same epoch again, for any number of steps.
    box[0], _ = steps(_at_start(box[0]), count)
    jax.block_until_ready(box[0])

  return call


def _begin(config: Config, images: np.ndarray) -> tuple[RunState, run.Steps]:
  vae: VAE = make_vae(config, _SHAPE, data_mean=data.mean_example(images))
  init, steps = run.make_training(
    config, vae, data.make_prepare(config, images), jnp.asarray(images)
  )
  return init(), steps


def _at_start(state: RunState) -> RunState:
  train = state.train._replace(step=jnp.zeros_like(state.train.step))
  return state._replace(train=train)


def _count(call: Call) -> int:
  """Returns how many steps take about a fifth of a second."""
  call(1)  # Compiles.
  count = 1
  while (seconds := _seconds(call, count) * count) < _SECONDS:
    count = max(2 * count, int(count * _SECONDS / seconds))
    if count >= _STEPS:
      return _STEPS
  return count


def _seconds(call: Call, count: int) -> float:
  """Returns the time of one step out of `count`."""
  started = time.perf_counter()
  call(count)
  return (time.perf_counter() - started) / count


def _timing(name: str, rounds: Sequence[dict[str, float]]) -> Timing:
  ratios = [seconds[name] / seconds[BASE] for seconds in rounds]
  low, _, high = statistics.quantiles(ratios, n=4, method='inclusive')
  return Timing(
    name,
    1e3 * statistics.median(seconds[name] for seconds in rounds),
    statistics.median(ratios),
    low,
    high,
  )


def _draw(folder: pathlib.Path, timings: Sequence[Timing]) -> pathlib.Path:
  error = [
    [t.ratio - t.low for t in timings],
    [t.high - t.ratio for t in timings],
  ]
  bars = plots.Bars(
    np.arange(len(timings)),
    np.array([t.ratio for t in timings]),
    np.array(error),
  )
  return plots.bars(
    folder / 'ratios.png',
    f'The time of a step, in those of {BASE}',
    ('', 'ratio, with quartiles over the rounds'),
    {'median': bars},
    [t.case.replace(', ', '\n') for t in timings],
  )
