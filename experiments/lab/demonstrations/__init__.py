"""Demonstrations of the reparameterisation trick, as tables and figures.

Each module is one demonstration: `measure` returns rows, `table` formats them
as text, `draw` plots them.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import jax

from experiments.lab.config import DemonstrationsConfig
from experiments.lab.demonstrations import (
  batch_statistic,
  collapse,
  descent,
  families,
  fixed_noise,
  interchange,
  jacobian,
  quadratic,
  rare_draws,
)
from experiments.lab.demonstrations.comparison import Comparison
from vae_jax.io import devices
from vae_jax.io.results import write_results
from vae_jax.runs import compile_cache
from vae_jax.runs.folder_path import create_folder
from vae_jax.types import Key

RESULTS = 'results.json'


class Demonstration(Protocol):
  """Interface of the modules of this package. A row is a NamedTuple."""

  def measure(self, key: Key, num_draws: int) -> Sequence[Any]:
    """Computes the rows, with about `num_draws` draws per estimate."""

  def table(self, rows: Sequence[Any]) -> str:
    """Formats the rows as plain text."""

  def draw(self, path: pathlib.Path, rows: Sequence[Any]) -> pathlib.Path:
    """Draws the rows as a PNG file."""


DEMONSTRATIONS: Mapping[str, Demonstration] = {
  'descent': descent,
  'quadratic': quadratic,
  'interchange': interchange,
  'rare_draws': rare_draws,
  'fixed_noise': fixed_noise,
  'jacobian': jacobian,
  'collapse': collapse,
  'families': families,
  'batch_statistic': batch_statistic,
}


def run(config: DemonstrationsConfig) -> list[pathlib.Path]:
  """Prints every table, and writes every figure and results.json.

  Args:
    config: options; `workdir` is created if it is missing.

  Returns:
    Paths of the written files.

  Raises:
    UserError: the device is missing, or the folder is not writable.
  """
  device = devices.select(config.platform)
  compile_cache.enable(config.compile_cache)
  folder = create_folder(config.workdir)
  print(
    f'{config.num_draws} draws per estimate, seed {config.seed}, on {device}'
  )
  keys = jax.random.split(jax.random.key(config.seed), len(DEMONSTRATIONS))
  records, paths = [], []
  for key, (name, part) in zip(keys, DEMONSTRATIONS.items(), strict=True):
    rows = part.measure(key, config.num_draws)
    print(f'\n{part.table(rows)}', flush=True)
    paths.append(part.draw(folder / f'{name}.png', rows))
    records += [{'demonstration': name, **plain(row)} for row in rows]
  paths.append(write_results(folder / RESULTS, records))
  print('\nWritten:', *(f'  {path}' for path in paths), sep='\n')
  return paths


def plain(value: Any) -> Any:
  """Converts a row to JSON types: named tuples become dicts."""
  if isinstance(value, Comparison):
    return {**value._asdict(), 'z': value.z}
  if hasattr(value, '_asdict'):
    return {name: plain(item) for name, item in value._asdict().items()}
  return value
