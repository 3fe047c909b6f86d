"""Training throughput beside the same VAE written with other libraries."""

import functools
import importlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from experiments.lab.benchmark import bound, estimators, plain_jax, timing
from experiments.lab.benchmark.timing import Call, Timing
from experiments.lab.benchmark.workloads import WORKLOADS, Workload
from experiments.lab.config import BenchmarkConfig
from vae_jax.io import devices
from vae_jax.io.results import write_results
from vae_jax.runs import compile_cache
from vae_jax.runs.config import Config
from vae_jax.runs.folder_path import create_folder

OURS, BOUND = 'vae_jax', 'matrix products'
# Steps per call: about a second on two cores, and the first epoch of MNIST.
_STEPS = {'A': 100, 'B20': 200, 'B100': 200, 'C': 25}
_EPOCH = 60_000

Make = Callable[[Workload, np.ndarray], Call]


class Peer(NamedTuple):
  """A row of the comparison.

  Attributes:
    make: returns its steps; raises ImportError where its package is missing.
    package: what to install.
  """

  make: Make
  package: str = ''


def _ours(workload: Workload, images: np.ndarray) -> Call:
  config = Config(
    hidden_sizes=workload.hidden_sizes,
    latent_dim=workload.latent_dim,
    activation=workload.activation,
    batch_size=workload.batch_size,
    num_samples=workload.num_samples,
    objective='elbo' if workload.num_samples == 1 else 'iwae',
  )
  return estimators.training(config, images)


def _lazy(module: str, **options: bool) -> Make:
  def make(workload: Workload, images: np.ndarray) -> Call:
    path = f'experiments.lab.benchmark.{module}'
    found = importlib.import_module(path).make
    call: Call = found(workload, images, **options)
    return call

  return make


_torch = functools.partial(_lazy, 'torch_loop')
PEERS = {
  OURS: Peer(_ours),
  BOUND: Peer(bound.make),
  'hand-written jax': Peer(plain_jax.make),
  'numpyro': Peer(_lazy('numpyro_svi'), 'numpyro'),
  'torch': Peer(_torch(compiled=False, fused=False), 'torch'),
  'torch, fused Adam': Peer(_torch(compiled=False, fused=True), 'torch'),
  'torch, compiled': Peer(_torch(compiled=True, fused=True), 'torch'),
}


def run(options: BenchmarkConfig) -> list[Timing]:
  """Times each workload, prints tables, and writes results.json and figures.

  A peer whose package is not installed is a printed line.
  """
  device = devices.select(options.platform)
  compile_cache.enable(options.compile_cache)
  folder = create_folder(options.workdir)
  print(f'{options.num_rounds} rounds, on {device}', flush=True)
  timings, paths = [], []
  for name, workload in WORKLOADS.items():
    found = _measure(name, workload, options)
    title = f'{name}: time per step relative to {OURS}'
    paths.append(timing.draw(folder / f'peers_{name}.png', title, found))
    timings += [t._replace(case=f'{name}, {t.case}') for t in found]
  paths.append(write_results(folder / estimators.RESULTS, timings))
  print('Written:', *(f'  {path}' for path in paths), sep='\n')
  return timings


def _measure(
  name: str, workload: Workload, options: BenchmarkConfig
) -> list[Timing]:
  steps = _STEPS[name]
  images = estimators.random_images(options.seed, steps * workload.batch_size)
  calls = {}
  for peer, (make, package) in PEERS.items():
    try:
      calls[peer] = make(workload, images)
    except ImportError as error:
      print(f'{peer}: left out, {error}. Run pip install {package}')
  found = timing.measure(calls, OURS, options.num_rounds, steps)
  title = (
    f'{name}: {workload.hidden_sizes} {workload.activation}, '
    f'{workload.latent_dim} latent dimensions, batch {workload.batch_size}, '
    f'K = {workload.num_samples}. Time per step, and ratio to {OURS}'
  )
  print(timing.format_timings(title, found))
  by_name = {t.case: t for t in found}
  others = [t for t in found if t.case not in (OURS, BOUND)]
  fastest = min(others, key=lambda t: t.ratio)
  seconds = by_name[OURS].milliseconds * (_EPOCH // workload.batch_size) / 10
  print(
    f'  share of the bound {by_name[BOUND].ratio:.2f}; the fastest peer is '
    f'{fastest.case}, at {fastest.ratio:.2f} times the time; 100 epochs of '
    f'60,000 images take {seconds:.0f} s',
    flush=True,
  )
  return found
