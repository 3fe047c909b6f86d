"""Growth of the step time with batch size, K, width, seeds and devices."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.lab.benchmark import estimators, timing
from experiments.lab.benchmark.timing import Call, Timing
from experiments.lab.config import BenchmarkConfig
from vae_jax import plots
from vae_jax.io import devices
from vae_jax.io.results import write_results
from vae_jax.runs import compile_cache
from vae_jax.runs.config import Config
from vae_jax.runs.folder import create_folder
from vae_jax.runs.save_figure import save_figure
from vae_jax.training.mesh import make_mesh

# Option -> its values, the reference first.
SIZES: dict[str, Sequence[int]] = {
  'batch_size': (20, 40, 80, 160, 320, 640),
  'num_samples': (1, 2, 5, 10, 20, 50),
  'hidden_sizes': (100, 200, 400, 800),
  'num_seeds': (1, 2, 4, 8),
  'num_devices': (1, 2, 4, 8),
}


def run(options: BenchmarkConfig) -> list[Timing]:
  """Times each option at each size, and writes results.json and a figure.

  A number of devices that are not there is left out with a printed line.
  """
  device = devices.select(options.platform)
  compile_cache.enable(options.compile_cache)
  folder = create_folder(options.workdir)
  print(
    f'{options.num_rounds} rounds of batch size {options.batch_size}, hidden '
    f'sizes {options.hidden_sizes}, latent dimension {options.latent_dim}, '
    f'K = 1, one seed and device but for what the rows name, on {device}',
    flush=True,
  )
  timings, lines = [], {}
  for option, sizes in SIZES.items():
    present = _present(option, sizes, options.platform)
    found = _measure(options, option, present)
    print(timing.format_timings(_title(option, present), found))
    print(f'  {_growth(option, present, found)}', flush=True)
    timings += found
    relative = [size / present[0] for size in present]
    lines[option] = (relative, [t.ratio for t in found])
  paths = [
    write_results(folder / estimators.RESULTS, timings),
    save_figure(folder / 'scaling.png', _draw(lines)),
  ]
  print('Written:', *(f'  {path}' for path in paths), sep='\n')
  return timings


def _present(option: str, sizes: Sequence[int], platform: str) -> Sequence[int]:
  if option != 'num_devices':
    return sizes
  count = len(devices.choose(platform, 0))
  if count < sizes[-1]:
    print(
      f'num_devices: left out above {count}, the devices that jax finds. On a '
      'CPU, XLA_FLAGS=--xla_force_host_platform_device_count=8 divides it '
      'into 8'
    )
  return [size for size in sizes if size <= count]


def _measure(
  options: BenchmarkConfig, option: str, sizes: Sequence[int]
) -> list[Timing]:
  calls = {
    f'{option} = {size}': _make_call(options, option, size) for size in sizes
  }
  return timing.measure(calls, next(iter(calls)), options.num_rounds)


def _make_call(options: BenchmarkConfig, option: str, size: int) -> Call:
  """Returns the steps of a model with one option of another size."""
  given: dict[str, Any] = {
    'batch_size': options.batch_size,
    'hidden_sizes': options.hidden_sizes,
    'latent_dim': options.latent_dim,
    'seed': options.seed,
    'objective': 'iwae',
  }
  if option == 'hidden_sizes':
    given[option] = (size,) * len(options.hidden_sizes)
  else:
    given[option] = size
  if option == 'num_devices':
    # A batch that every number of devices divides.
    most = SIZES[option][-1]
    given['batch_size'] = -(-options.batch_size // most) * most
  config = Config(**given)
  mesh = None
  if size > 1 and option == 'num_devices':
    mesh = make_mesh(devices.choose(options.platform, size))
  images = estimators.random_images(
    options.seed, timing.STEPS * config.optimizer.batch_size
  )
  return estimators.training(config, images, mesh)


def _title(option: str, sizes: Sequence[int]) -> str:
  return f'Time per step by {option}, and ratio to that at {sizes[0]}'


def _growth(option: str, sizes: Sequence[int], found: Sequence[Timing]) -> str:
  """Returns a sentence on the largest size."""
  return (
    f'{sizes[-1] / sizes[0]:g} times the {option} in {found[-1].ratio:.2f} '
    'times the time'
  )


def _draw(lines: Mapping[str, plots.Line]) -> plots.Figure:
  most = max(max(x) for x, _ in lines.values())
  return plots.curves(
    'Growth of the time per step',
    ('size relative to the smallest', 'time per step relative to its own'),
    {'proportional': ([1, most], [1, most])},
    points=lines,
    scales=('log', 'log'),
  )
