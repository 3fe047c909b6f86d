"""Training from disk beside training from memory, an epoch at a time."""

import pathlib
import tempfile

import jax
import numpy as np

from experiments.lab.benchmark import estimators, timing
from experiments.lab.benchmark.timing import Call, Timing
from experiments.lab.config import BenchmarkConfig
from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.io import devices
from vae_jax.io.results import write_results
from vae_jax.runs.config import Config
from vae_jax.runs.folder_path import create_folder

MEMORY, SHARDS, TFDS = 'in memory', 'folder of .npy', 'mnist of TFDS'
_NUM_IMAGES, _NUM_SHARDS = 40_000, 10


def run(options: BenchmarkConfig) -> list[Timing]:
  """Times epochs from each source, and writes results.json and a figure.

  Every epoch from disk begins without anything read ahead. The files are in
  the page cache of the system, so that the reading and decoding are timed, and
  no disk.
  """
  device = devices.select(options.platform)
  folder = create_folder(options.workdir)
  steps = _NUM_IMAGES // options.batch_size
  print(
    f'{options.num_rounds} rounds, epochs of {_NUM_IMAGES} images, batch size '
    f'{options.batch_size}, on {device}',
    flush=True,
  )
  with tempfile.TemporaryDirectory() as name:
    calls = make_calls(options, pathlib.Path(name))
    timings = timing.measure(calls, MEMORY, options.num_rounds, steps)
  title = f'Time per step, and ratio to {MEMORY} (quartiles)'
  print(timing.format_timings(title, timings))
  rate = lambda t: 1e3 * options.batch_size / t.milliseconds
  rates = [f'{rate(t):,.0f} {t.case}' for t in timings]
  print(f'  examples per second: {"; ".join(rates)}')
  paths = [
    write_results(folder / estimators.RESULTS, timings),
    timing.draw(folder / 'stream.png', 'Time per step, by source', timings),
  ]
  print('Written:', *(f'  {path}' for path in paths), sep='\n')
  return timings


def make_calls(
  options: BenchmarkConfig, folder: pathlib.Path
) -> dict[str, Call]:
  """Returns the epochs of each source; writes shards into a folder.

  mnist is left out, with a printed line, where it is not prepared.
  """
  config = Config(
    latent_dim=options.latent_dim,
    hidden_sizes=options.hidden_sizes,
    batch_size=options.batch_size,
    num_epochs=1,
    seed=options.seed,
  )
  images = estimators.random_images(options.seed, _NUM_IMAGES)
  for number, part in enumerate(np.array_split(images, _NUM_SHARDS)):
    np.save(folder / f'train-{number:05d}.npy', part)
  for split in ('validation', 'test'):
    np.save(folder / f'{split}-00000.npy', images[:10])
  sources = {MEMORY: images, SHARDS: _on_disk(str(folder))}
  try:
    sources[TFDS] = _on_disk('mnist')
  except UserError as error:
    print(f'{TFDS}: left out, {error}')
  return {name: _epochs(config, x) for name, x in sources.items()}


def _on_disk(name: str) -> data.Examples:
  train, _ = data.load_train(name, num_validation=10, stream='always')
  if isinstance(train.x, data.Streamed):
    return train.x.take(np.arange(_NUM_IMAGES))
  return train.x


def _epochs(config: Config, x: data.Examples) -> Call:
  """Returns a call of an epoch, from its start."""
  training = estimators.make_parts(config, x)
  box, block = [training.init()], training.steps_per_block

  def call(count: int) -> None:
    state, step = estimators.at_start(box[0]), 0
    while step < count:
      taken = min(count, step + block) - step
      state, _ = training.steps(state, taken)
      step += taken
    box[0] = state
    jax.block_until_ready(state)

  return call
