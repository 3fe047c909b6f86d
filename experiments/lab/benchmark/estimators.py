"""Step time of each objective and estimator, relative to the ELBO's."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from experiments.lab.benchmark import timing
from experiments.lab.benchmark.timing import Call, Timing
from experiments.lab.config import BenchmarkConfig
from vae_jax import data
from vae_jax.io import devices
from vae_jax.io.results import write_results
from vae_jax.models.make import make_vae
from vae_jax.runs import compile_cache
from vae_jax.runs.config import Config
from vae_jax.runs.folder_path import create_folder
from vae_jax.runs.preprocess import make_preprocess
from vae_jax.runs.steps import Steps, Training, make_training
from vae_jax.training.epoch import RunState
from vae_jax.training.mesh import place

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


def run(options: BenchmarkConfig) -> list[Timing]:
  """Times every case, prints a table, and writes results.json and a figure."""
  device = devices.select(options.platform)
  compile_cache.enable(options.compile_cache)
  folder = create_folder(options.workdir)
  print(
    f'{options.num_rounds} rounds, batch size {options.batch_size}, hidden '
    f'sizes {options.hidden_sizes}, latent dimension {options.latent_dim}, '
    f'on {device}',
    flush=True,
  )
  timings = timing.measure(make_calls(options), BASE, options.num_rounds)
  title = f'Time per step, and ratio to {BASE} (quartiles)'
  print(timing.format_timings(title, timings))
  title = f'Time per training step relative to {BASE}'
  paths = [
    write_results(folder / RESULTS, timings),
    timing.draw(folder / 'ratios.png', title, timings),
  ]
  print('Written:', *(f'  {path}' for path in paths), sep='\n')
  return timings


def make_calls(options: BenchmarkConfig) -> dict[str, Call]:
  """Returns the steps of each case, on random images."""
  config = Config(
    latent_dim=options.latent_dim,
    hidden_sizes=options.hidden_sizes,
    batch_size=options.batch_size,
    seed=options.seed,
  )
  images = random_images(options.seed, timing.STEPS * options.batch_size)
  return {
    name: training(config.replace(**case), images)
    for name, case in CASES.items()
  }


def random_images(seed: int, count: int) -> np.ndarray:
  """Draws 8-bit pixels, `[count, 28, 28, 1]`."""
  random = np.random.RandomState(seed)
  return random.randint(0, 256, (count, *_SHAPE), np.uint8)


def training(
  config: Config, images: np.ndarray, mesh: Mesh | None = None
) -> Call:
  """Returns a call of many steps in one compiled program, as in a run."""
  state, steps = _begin(config, images, mesh)
  box = [state]

  def call(count: int) -> None:
    # Restart the epoch, so that no call reaches its end.
    box[0], _ = steps(at_start(box[0]), count)
    jax.block_until_ready(box[0])

  return call


def _begin(
  config: Config, images: np.ndarray, mesh: Mesh | None
) -> tuple[RunState, Steps]:
  parts = make_parts(config, images, mesh)
  return place(parts.init(), mesh), parts.steps


def make_parts(
  config: Config, x: data.Examples, mesh: Mesh | None = None
) -> Training:
  """Returns the initial state and the steps, on images in memory or on disk."""
  model = make_vae(config, _SHAPE, data_mean=data.mean_example(x))
  preprocess = data.at_each_visit(make_preprocess(config, x))
  return make_training(config, model, preprocess, x, mesh=mesh)


def at_start(state: RunState) -> RunState:
  """Returns the state as if no step were taken."""
  train = state.train._replace(step=jnp.zeros_like(state.train.step))
  return state._replace(train=train)
