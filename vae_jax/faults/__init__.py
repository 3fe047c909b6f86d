"""Faults put into real training runs, and a count of what they cost.

One run goes straight through. A second is killed again and again, a third is
asked to stop; each is started anew until it ends, and must end with the bits
of the first. Then the checkpoints of the first are damaged.
"""

import json
import pathlib
import random
import time
from collections.abc import Iterator
from typing import Any

from vae_jax import devices, files, logger, workdir
from vae_jax.config import Config, FaultInjectionConfig
from vae_jax.errors import UserError
from vae_jax.faults import damage, processes

RESULTS = 'faults.json'


def run(options: FaultInjectionConfig) -> dict[str, Any]:
  """Injects the faults, prints what came of them, and writes faults.json.

  Returns:
    The counts.

  Raises:
    UserError: the folder holds runs already, or something was lost.
  """
  devices.select(options.platform)
  folder = workdir.create(options.workdir)
  if any(folder.iterdir()):
    raise UserError(f'--workdir={folder}: is not empty: give another')
  config = training(options)
  randomness = random.Random(options.seed)
  started = time.monotonic()
  processes.finish(config, folder / 'straight')
  took = time.monotonic() - started
  print(f'a run of {config.num_epochs} epochs: {took:.0f} s', flush=True)
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
    raise UserError(f'{folder}: something was lost: {lost}')
  return metrics


# What must be 0.
_LOSSES = (
  *('runs_that_went_back_after_a_kill', 'leaves_changed_by_kills'),
  *('metrics_changed_by_kills', 'stops_without_a_save'),
  *('leaves_changed_by_stops', 'metrics_changed_by_stops'),
  *('flips_that_were_silent', 'truncations_that_were_silent'),
)


def training(options: FaultInjectionConfig) -> Config:
  """Returns the run that the faults are put into: it saves all the time."""
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
  path, went_back, within, begun = folder / 'killed', 0, 0, 0
  for i in range(options.num_kills):
    # Half of them wait for a checkpoint to be on its way to the disk.
    is_aimed = i % 2 == 1
    killed = processes.kill(config, path, randomness, is_aimed=is_aimed)
    within += killed.within_write
    begun += killed.had_begun
    went_back += killed.went_back
  yield 'kills', options.num_kills
  yield 'kills_once_training_had_begun', begun
  yield 'kills_within_a_checkpoint_write', within
  yield 'runs_that_went_back_after_a_kill', went_back
  processes.finish(config, path)
  leaves, lines = _differences(folder / 'straight', path)
  yield 'leaves_changed_by_kills', leaves
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
  yield 'stops_without_a_save', unsaved
  yield 'seconds_of_the_slowest_stop', round(slowest, 2)
  processes.finish(config, path)
  leaves, lines = _differences(folder / 'straight', path)
  yield 'leaves_changed_by_stops', leaves
  yield 'metrics_changed_by_stops', lines


def _damage(
  options: FaultInjectionConfig,
  config: Config,
  folder: pathlib.Path,
  randomness: random.Random,
) -> Iterator[tuple[str, int]]:
  checkpoints = folder / 'straight' / workdir.CHECKPOINTS
  for name, change, count in (
    ('flips', damage.flip, options.num_flips),
    ('truncations', damage.truncate, options.num_truncations),
  ):
    found = damage.inject(config, checkpoints, change, count, randomness)
    yield name, count
    yield f'{name}_that_fell_back', found['fell back']
    yield f'{name}_that_were_silent', found['silent']


def _differences(a: pathlib.Path, b: pathlib.Path) -> tuple[int, int]:
  """Counts the leaves, and the lines of metrics, that two runs differ in."""
  leaves = damage.count_different_leaves(
    a / workdir.CHECKPOINTS, b / workdir.CHECKPOINTS
  )
  ours, theirs = _told(a), _told(b)
  pairs = zip(ours, theirs, strict=False)
  lines = abs(len(ours) - len(theirs)) + sum(x != y for x, y in pairs)
  return leaves, lines


def _told(folder: pathlib.Path) -> list[dict[str, Any]]:
  """Returns the metrics without what the clock says."""
  records = logger.read_metrics(folder / workdir.METRICS)
  clock = 'examples_per_second'
  return [{k: v for k, v in r.items() if k != clock} for r in records]
