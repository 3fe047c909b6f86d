"""Times of a few training steps of a cell, for its estimated duration."""

import json
import pathlib
import time
from typing import Any

import jax

from experiments.cells.cell import Cell
from experiments.cells.config import ReproduceConfig
from vae_jax.errors import UserError
from vae_jax.io import devices, files
from vae_jax.runs import Config, recipe
from vae_jax.runs.folder_path import create_folder
from vae_jax.runs.pace import StepsPerCall

PROBES = 'probes.json'
# Duration of the timed steps.
_SECONDS = 5.0


def run(options: ReproduceConfig, cell: Cell) -> None:
  """Times some steps of a cell, prints the pace and keeps it for --list.

  Raises:
    UserError: a cell that is not trained, or missing data.
  """
  if not isinstance(cell.config, Config):
    raise UserError(
      f'--probe with {cell.name}: it is a cell of gradient_variance, whose '
      '--help states the time; leave it out'
    )
  device = devices.select(options.platform)
  folder = create_folder(options.workdir)
  rate, per_epoch = measure(cell.config)
  count = cell.config.run.num_seeds
  seconds = per_epoch / rate / count
  print(
    f'{cell.name}: {rate * count:.0f} examples/s, {seconds:.3g} s per epoch '
    f'and seed, on {device}',
    flush=True,
  )
  path = folder / PROBES
  entry = {
    'seconds_per_epoch': seconds,
    'device': device,
    'num_seeds': count,
  }
  found = {**read(options.workdir), cell.name: entry}
  files.write_text(path, json.dumps(found, indent=1) + '\n')


def measure(config: Config, seconds: float = _SECONDS) -> tuple[float, int]:
  """Times steps from the start of a training.

  Args:
    config: options of the run.
    seconds: duration after which no other call starts.

  Returns:
    (examples per second of each seed, examples per epoch).

  Raises:
    UserError: unsuitable data.
  """
  parts = recipe.make_run(config).recipe
  state, calls = parts.init(), StepsPerCall()
  done, total = 0, 0.0
  size = parts.steps_per_block or parts.steps_per_epoch
  while done < parts.steps_per_epoch and total < seconds:
    count = calls.next(min(parts.steps_per_epoch - done, size - done % size))
    started = time.monotonic()
    state, _ = parts.steps(state, count)
    jax.block_until_ready(state)
    took = time.monotonic() - started
    calls.update(count, took)
    if done:  # The first call also compiles.
      total += took
    else:
      first = count
    done += count
  timed = (done - first) * parts.batch_size
  return timed / max(total, 1e-9), parts.steps_per_epoch * parts.batch_size


def read(workdir: str) -> dict[str, Any]:
  """Returns name of a cell -> its probe; {} if none was timed.

  Raises:
    UserError: a damaged file.
  """
  path = pathlib.Path(workdir).expanduser() / PROBES
  if not path.exists():
    return {}
  try:
    found = json.loads(files.read_text(path))
    return {
      name: {**entry, 'seconds_per_epoch': float(entry['seconds_per_epoch'])}
      for name, entry in found.items()
    }
  except UserError:
    raise
  except (ValueError, TypeError, KeyError, AttributeError) as error:
    raise UserError(f'{path}: damaged ({error}). Remove it') from None
