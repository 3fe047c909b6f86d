"""The command: tables on the screen, figures and results.json in the folder."""

import json
import pathlib
import types
from typing import NamedTuple

import jax
import pytest

from experiments import demonstrations as command
from experiments.lab import demonstrations
from experiments.lab.config import DemonstrationsConfig
from experiments.lab.demonstrations.comparison import Comparison
from vae_jax.errors import UserError


class Row(NamedTuple):
  name: str
  variance: Comparison


def stand_in(name, calls):
  """Returns a demonstration of one row that records its arguments."""

  def measure(key, num_draws):
    calls.append((jax.random.key_data(key).tolist(), num_draws))
    return (Row(name, Comparison(2.0, 2.5, 0.25)),)

  def draw(path, rows):
    path.touch()
    return path

  return types.SimpleNamespace(
    measure=measure, table=lambda rows: f'table of {rows[0].name}', draw=draw
  )


@pytest.fixture
def calls(monkeypatch):
  """Replaces the demonstrations by two; the arguments of their `measure`."""
  calls = []
  parts = {name: stand_in(name, calls) for name in ('a', 'b')}
  monkeypatch.setattr(demonstrations, 'DEMONSTRATIONS', parts)
  return calls


def test_command_prints_tables_and_writes_files(calls, tmp_path, capsys):
  command.main(['demonstrations', f'--workdir={tmp_path}'])
  printed = capsys.readouterr().out
  files = [tmp_path / name for name in ('a.png', 'b.png', 'results.json')]
  assert sorted(tmp_path.iterdir()) == files
  written = printed.split('Written:')[1].split()
  assert list(map(pathlib.Path, written)) == files
  assert 'table of a' in printed
  assert 'table of b' in printed
  comparison = {'exact': 2.0, 'measured': 2.5, 'standard_error': 0.25, 'z': 2.0}
  assert json.loads(files[-1].read_text()) == [
    {'demonstration': name, 'name': name, 'variance': comparison}
    for name in ('a', 'b')
  ]


def test_every_demonstration_has_its_own_key_and_all_draws(calls, tmp_path):
  for seed in (0, 1):
    demonstrations.run(
      DemonstrationsConfig(workdir=str(tmp_path), num_draws=2345, seed=seed)
    )
  assert len({tuple(key) for key, _ in calls}) == 4
  assert {num_draws for _, num_draws in calls} == {2345}


def test_smallest_number_of_draws_runs(monkeypatch, tmp_path):
  parts = {'rare_draws': demonstrations.DEMONSTRATIONS['rare_draws']}
  monkeypatch.setattr(demonstrations, 'DEMONSTRATIONS', parts)
  config = DemonstrationsConfig(workdir=str(tmp_path), num_draws=1000)
  paths = demonstrations.run(config)
  assert [path.stem for path in paths] == ['rare_draws', 'results']
  records = json.loads(paths[-1].read_text())
  assert len(records) == 16


def test_unusable_folder_is_reported_before_any_measurement(calls, tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(UserError, match='expected a folder'):
    command.main(['demonstrations', f'--workdir={tmp_path / "file"}'])
  assert not calls
