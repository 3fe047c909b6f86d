"""What a run leaves to look at: its table, its figures and its page."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vae_jax import figures, files, logger, page, workdir
from vae_jax.config import Config
from vae_jax.data import Split
from vae_jax.evaluate import (
  Latents,
  evaluation_keys,
  measure_latents,
  warning,
)
from vae_jax.lab import monitor
from vae_jax.model import VAE
from vae_jax.objectives import describe
from vae_jax.types import Params

# Pairs of examples are compared: so many take about a second.
_MOST_EXAMPLES = 2000


class Trained(NamedTuple):
  """A trained run and its test split, as stored and as p(x|z) takes it."""

  folder: pathlib.Path
  config: Config
  vae: VAE
  params: Params
  test: Split
  prepared: np.ndarray


class Examined(NamedTuple):
  """What z tells of some test examples, and their labels if they have any."""

  latents: Latents
  labels: np.ndarray | None

  @property
  def metrics(self) -> dict[str, int]:
    """How many units there are, and how many carry something."""
    active = self.latents.active
    return {'active_units': int(active.sum()), 'latent_units': len(active)}


def examine(run: Trained) -> Examined:
  """Measures the latents of at most 2000 test examples."""
  count = len(run.prepared)
  # From all over the split, which may be sorted.
  some = np.linspace(0, count - 1, min(count, _MOST_EXAMPLES)).astype(int)
  latents = measure_latents(
    evaluation_keys().latents, run.vae, run.params, run.prepared[some]
  )
  labels = None if run.test.labels is None else run.test.labels[some]
  return Examined(latents, labels)


def present(
  run: Trained,
  examined: Examined,
  nll: Mapping[int, tuple[float, float]],
  title: str,
  rows: Sequence[tuple[str, str]],
) -> list[pathlib.Path]:
  """Prints the table, draws the figures and writes the page that holds them.

  Args:
    run: what was trained.
    examined: of `examine`.
    nll: K -> mean and standard error, in nats.
    title: of the table and of the page.
    rows: of the table.

  Returns:
    The files.
  """
  print(logger.format_table(title, rows))
  if warning(examined.latents):
    print(warning(examined.latents))
  records = logger.read_metrics(run.folder / workdir.METRICS)
  folder = run.folder / workdir.FIGURES
  captions = figures.draw_all(
    folder,
    run.vae,
    run.params,
    run.test.images,
    run.prepared,
    records,
    figures.Measured(examined.latents, examined.labels, nll),
  )
  for path in monitor.draw(folder, records):
    captions[path] = 'Signal-to-noise ratio of the gradient while training.'
  pictures = [
    page.Picture(path.read_bytes(), path.stem.replace('_', ' '), caption)
    for path, caption in captions.items()
  ]
  tables = {
    'Test split': [_on_page(row) for row in rows],
    'Options': _options(run.config),
    'Versions': list(workdir.read_versions(run.folder).items()),
  }
  text = page.make_page(title, describe(run.config), tables, pictures)
  files.write_text(run.folder / workdir.PAGE, text)
  return [*captions, run.folder / workdir.PAGE]


def _on_page(row: tuple[str, str]) -> tuple[str, str]:
  name, value = row
  return name, value.strip().replace('+-', '±')


def _options(config: Config) -> list[tuple[str, str]]:
  options: dict[str, Any] = dataclasses.asdict(config)
  options['hidden_sizes'] = ', '.join(map(str, config.hidden_sizes))
  return [(name, str(value)) for name, value in options.items()]
