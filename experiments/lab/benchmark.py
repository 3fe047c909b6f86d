"""Benchmark of the training step of each estimator, relative to the ELBO.

Timings drift and differ between machines. Therefore every round times every
case, and each time is divided by that of the plain ELBO in the same round.
"""

import pathlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab.config import BenchmarkConfig
from vae_jax import data, plots
from vae_jax.io import devices, logger
from vae_jax.io.results import write_results
from vae_jax.models.make import make_vae
from vae_jax.runs.config import Config
from vae_jax.runs.folder import create_folder
from vae_jax.runs.preprocess import make_preprocess
from vae_jax.runs.recipe import Steps, make_training
from vae_jax.runs.save_figure import save_figure
from vae_jax.training.epoch import RunState

RESULTS = 'results.json'
BASE = 'elbo'
_K = {'num_samples': 5}
CASES: dict[str, dict[str, Any]] = {
  BASE: {},
  'elbo, form joint': {'form': 'joint'},
  'elbo, stl': {'form': 'joint', 'estimator': 'stl'},
  'elbo, score': {'estimator': 'score_function', 'form': 'joint'},
  'elbo, adaptive': {'estimator': 'adaptive'},
  'elbo, full q': {'posterior': 'full_normal'},
  'iwae, K = 5': {'objective': 'iwae', **_K},
  'iwae, K = 5, dreg': {'objective': 'iwae', 'estimator': 'dreg', **_K},
  'iwae, K = 5, vimco': {'objective': 'iwae', 'estimator': 'vimco', **_K},
  'iwae, K = 5, adaptive': {
    'objective': 'iwae',
    'estimator': 'adaptive',
    **_K,
  },
}

# The shape of MNIST images. Pixel values do not affect the time.
_SHAPE = (28, 28, 1)
# Target duration of a call, and maximum steps per call (one epoch).
_SECONDS, _STEPS = 0.2, 200


class Timing(NamedTuple):
  """Step time of one case.

  Attributes:
    case: name of the case.
    milliseconds: median time per step over rounds.
    ratio: median over rounds of the step time relative to `BASE`.
    low: first quartile of the ratio.
    high: third quartile of the ratio.
  """

  case: str
  milliseconds: float
  ratio: float
  low: float
  high: float


def run_benchmark(options: BenchmarkConfig) -> list[Timing]:
  """Times every case, prints a table, and writes results.json and a figure.

  Raises:
    UserError: no such device, or the folder cannot be written to.
  """
  device = devices.select(options.platform)
  folder = create_folder(options.workdir)
  print(
    f'{options.num_rounds} rounds, batch size {options.batch_size}, hidden '
    f'sizes {options.hidden_sizes}, latent dimension {options.latent_dim}, '
    f'on {device}',
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
  print(
    logger.format_table(f'Time per step, and ratio to {BASE} (quartiles)', rows)
  )
  paths = [write_results(folder / RESULTS, timings), _draw(folder, timings)]
  print('Written:', *(f'  {path}' for path in paths), sep='\n')
  return timings


# Runs the given number of steps and waits for the result.
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
    name: _training(config.replace(**case), images)
    for name, case in CASES.items()
  }


def _training(config: Config, images: np.ndarray) -> Call:
  """Returns a call of many steps in one compiled program, as in a run."""
  state, steps = _begin(config, images)
  box = [state]

  def call(count: int) -> None:
    # Restart the epoch, so that no call reaches its end.
    box[0], _ = steps(_at_start(box[0]), count)
    jax.block_until_ready(box[0])

  return call


def _begin(config: Config, images: np.ndarray) -> tuple[RunState, Steps]:
  model = make_vae(config, _SHAPE, data_mean=data.mean_example(images))
  init, steps = make_training(
    config, model, make_preprocess(config, images), jnp.asarray(images)
  )
  return init(), steps


def _at_start(state: RunState) -> RunState:
  train = state.train._replace(step=jnp.zeros_like(state.train.step))
  return state._replace(train=train)


def _count(call: Call) -> int:
  """Returns the number of steps that takes about `_SECONDS`, <= `_STEPS`."""
  call(1)  # Compiles.
  count = 1
  while (seconds := _seconds(call, count) * count) < _SECONDS:
    count = max(2 * count, int(count * _SECONDS / seconds))
    if count >= _STEPS:
      return _STEPS
  return count


def _seconds(call: Call, count: int) -> float:
  """Returns the time per step of a call of `count` steps."""
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
  figure = plots.bars(
    f'Time per training step relative to {BASE}',
    ('', 'time ratio (median and quartiles over rounds)'),
    {'median': bars},
    [t.case.replace(', ', '\n') for t in timings],
  )
  return save_figure(folder / 'ratios.png', figure)
