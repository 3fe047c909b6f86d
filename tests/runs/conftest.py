"""One short training run that the tests of a session share."""

import contextlib
import io
import pathlib
import shutil
from typing import Any, NamedTuple

import pytest

from vae_jax.runs import Config, train
from vae_jax.runs.report import build


class TrainedRun(NamedTuple):
  """A run of two epochs on the digits; its folder must not be changed."""

  config: Config
  folder: pathlib.Path
  metrics: dict[str, Any]
  printed: str


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
  folder = tmp_path_factory.mktemp('trained') / 'run'
  config = Config(
    num_epochs=2,
    hidden_sizes=(16,),
    latent_dim=2,
    batch_size=500,
    nll_num_samples=3,
  )
  with contextlib.redirect_stdout(io.StringIO()) as printed:
    metrics = train(config, folder=folder)
  return TrainedRun(config, folder, metrics, printed.getvalue())


@pytest.fixture
def copied(trained, tmp_path):
  """A copy of the run that a test may change."""
  folder = tmp_path / 'copy'
  shutil.copytree(trained.folder, folder)
  return trained._replace(folder=folder)


@pytest.fixture
def undrawn(monkeypatch):
  """Leaves out the figures, which take most of the time."""
  monkeypatch.setattr(build, 'present', lambda *args: [])
