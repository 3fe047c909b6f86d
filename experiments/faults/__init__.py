"""Fault injection into training runs: SIGKILL, SIGTERM, damaged checkpoints.

The reference run is not interrupted. A second run is killed repeatedly and a
third is stopped repeatedly. Both are restarted until they finish, and must
match the reference run bit for bit. Finally, the checkpoints of the reference
run are damaged.
"""

import json
import pathlib
import random
import time
from collections.abc import Iterator
from typing import Any

from experiments.faults import damage, processes
from experiments.faults.config import FaultInjectionConfig
from vae_jax.errors import UserError
from vae_jax.io import devices, files, logger
from vae_jax.runs.config import Config
from vae_jax.runs.folder import CHECKPOINTS, METRICS
from vae_jax.runs.folder_path import create_folder

RESULTS = 'faults.json'


def run(options: FaultInjectionConfig) -> dict[str, Any]:
  """Injects the faults, prints the counts and writes faults.json.

  Returns:
    The counts by name.

  Raises:
    UserError: the working directory is not empty, or data was lost.
  """
  devices.select(options.platform)
  folder = create_folder(options.workdir)
  if any(folder.iterdir()):
    raise UserError(f'--workdir={folder}: not empty. Use another folder.')
  config = training(options)
  randomness = random.Random(options.seed)
  started = time.monotonic()
  processes.finish(config, folder / 'reference')
  took = time.monotonic() - started
  print(
    f'reference run, {config.optimizer.num_epochs} epochs: {took:.0f} s',
    flush=True,
  )
  metrics: dict[str, Any] = {}
  for part in (
    _kills(options, config, folder, randomness),
    _stops(options, config, folder, randomness),
    _damage(options, config, folder, randomness),
  ):
    for name, value in part:
      metrics[name] = value
      print(f'  {name.replace("_", " "):<38}{value:>8}', flush=True)
  files.write_text(folder / RESULTS, json.dumps(metrics, indent=1) + '\n')
  lost = {name: metrics[name] for name in _LOSSES if metrics[name]}
  if lost:
    raise UserError(f'{folder}: data was lost: {lost}')
  return metrics


# Each of these counts must be 0.
_LOSSES = (
  *('restarts_from_an_older_checkpoint', 'arrays_changed_by_kills'),
  *('metrics_changed_by_kills', 'stops_without_a_checkpoint'),
  *('arrays_changed_by_stops', 'metrics_changed_by_stops'),
  *('silent_flips', 'silent_truncations'),
)


def training(options: FaultInjectionConfig) -> Config:
  """Returns the config of the runs, which write checkpoints continually."""
  return Config(
    num_epochs=options.num_epochs,
    hidden_sizes=(64, 64),
    checkpoint_seconds=0.05,
    nll_num_samples=10,
    seed=options.seed,
    platform=options.platform,
  )


def _kills(
  options: FaultInjectionConfig,
  config: Config,
  folder: pathlib.Path,
  randomness: random.Random,
) -> Iterator[tuple[str, int]]:
  path, older, writing, training = folder / 'killed', 0, 0, 0
  for i in range(options.num_kills):
    # Half of the kills wait for the write of a checkpoint.
    is_aimed = i % 2 == 1
    killed = processes.kill(config, path, randomness, is_aimed=is_aimed)
    writing += killed.during_write
    training += killed.during_training
    older += killed.resumed_from_older
  yield 'kills', options.num_kills
  yield 'kills_during_training', training
  yield 'kills_during_a_checkpoint_write', writing
  yield 'restarts_from_an_older_checkpoint', older
  processes.finish(config, path)
  arrays, lines = _differences(folder / 'reference', path)
  yield 'arrays_changed_by_kills', arrays
  yield 'metrics_changed_by_kills', lines


def _stops(
  options: FaultInjectionConfig,
  config: Config,
  folder: pathlib.Path,
  randomness: random.Random,
) -> Iterator[tuple[str, Any]]:
  path, unsaved, slowest = folder / 'stopped', 0, 0.0
  for _ in range(options.num_stops):
    stopped = processes.stop(config, path, randomness)
    unsaved += not stopped.is_saved
    slowest = max(slowest, stopped.seconds)
  yield 'stops', options.num_stops
  yield 'stops_without_a_checkpoint', unsaved
  yield 'seconds_of_the_slowest_stop', round(slowest, 2)
  processes.finish(config, path)
  arrays, lines = _differences(folder / 'reference', path)
  yield 'arrays_changed_by_stops', arrays
  yield 'metrics_changed_by_stops', lines


def _damage(
  options: FaultInjectionConfig,
  config: Config,
  folder: pathlib.Path,
  randomness: random.Random,
) -> Iterator[tuple[str, int]]:
  checkpoints = folder / 'reference' / CHECKPOINTS
  for name, change, count in (
    ('flips', damage.flip, options.num_flips),
    ('truncations', damage.truncate, options.num_truncations),
  ):
    found = damage.inject(config, checkpoints, change, count, randomness)
    yield name, count
    yield f'detected_{name}', found['fell back']
    yield f'silent_{name}', found['silent']


def _differences(a: pathlib.Path, b: pathlib.Path) -> tuple[int, int]:
  """Counts the arrays and the metric records that differ between two runs."""
  arrays = damage.count_different_arrays(a / CHECKPOINTS, b / CHECKPOINTS)
  ours, theirs = _deterministic_metrics(a), _deterministic_metrics(b)
  pairs = zip(ours, theirs, strict=False)
  lines = abs(len(ours) - len(theirs)) + sum(x != y for x, y in pairs)
  return arrays, lines


def _deterministic_metrics(folder: pathlib.Path) -> list[dict[str, Any]]:
  """Returns the metrics without the measured speed."""
  records = logger.read_metrics(folder / METRICS)
  speed = 'examples_per_second'
  return [{k: v for k, v in r.items() if k != speed} for r in records]
