"""What the reparameterisation trick does, shown in numbers and figures.

Each module is one demonstration: `measure` computes named numbers, `table`
words them, `draw` draws them.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import jax

from vae_jax import devices, workdir
from vae_jax.config import DemonstrationsConfig
from vae_jax.lab.demonstrations import (
  collapse,
  descent,
  exchange,
  families,
  fixed_noise,
  jacobian,
  quadratic,
  rare_draws,
)
from vae_jax.lab.demonstrations.comparison import Comparison
from vae_jax.lab.records import write_results
from vae_jax.types import Key

RESULTS = 'results.json'


class Demonstration(Protocol):
  """What a module of this package offers; a row is a NamedTuple."""

  def measure(self, key: Key, num_draws: int) -> Sequence[Any]:
    """Computes the rows, from about `num_draws` draws a number."""

  def table(self, rows: Sequence[Any]) -> str:
    """Returns the rows as plain text."""

  def draw(self, path: pathlib.Path, rows: Sequence[Any]) -> pathlib.Path:
    """Draws the rows as a PNG file."""


DEMONSTRATIONS: Mapping[str, Demonstration] = {
  'descent': descent,
  'quadratic': quadratic,
  'exchange': exchange,
  'rare_draws': rare_draws,
  'fixed_noise': fixed_noise,
  'jacobian': jacobian,
  'collapse': collapse,
  'families': families,
}


def run(config: DemonstrationsConfig) -> list[pathlib.Path]:
  """Prints every table, writes every figure and results.json.

  Args:
    config: the options; `workdir` is made if it is missing.

  Returns:
    The files written.

  Raises:
    UserError: no such device, or the folder cannot be written to.
  """
  device = devices.select(config.platform)
  folder = workdir.create(config.workdir)
  print(f'{config.num_draws} draws a number, seed {config.seed}, on {device}')
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
  """Returns a row as JSON has it: named tuples become objects."""
  if isinstance(value, Comparison):
    return {**value._asdict(), 'z': value.z}
  if hasattr(value, '_asdict'):
    return {name: plain(item) for name, item in value._asdict().items()}
  return value
