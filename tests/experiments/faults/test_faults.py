"""Fault injection: kills, stops, damaged checkpoints and a full disk."""

import json
import random
import re
import shutil
import subprocess
import zipfile

import pytest

from experiments import faults
from experiments.faults import damage, processes
from experiments.faults.config import FaultInjectionConfig
from vae_jax.errors import UserError
from vae_jax.io import checkpoint
from vae_jax.runs import train, trainer
from vae_jax.runs.folder import CHECKPOINTS

FEW = FaultInjectionConfig(num_epochs=4)


@pytest.mark.long
@pytest.mark.slow
def test_faults_lose_nothing(tmp_path, capsys):
  options = FaultInjectionConfig(
    workdir=str(tmp_path / 'faults'),
    num_kills=16,
    num_stops=5,
    num_flips=40,
    num_truncations=20,
    num_epochs=400,
  )
  found = faults.run(options)
  written = json.loads((tmp_path / 'faults' / faults.RESULTS).read_text())
  assert written == found
  assert found['kills'] == 16
  # Eight kills are aimed. About three in ten writes finish before the signal
  # arrives: the rate of false alarms is 0.3^8 = 7e-5.
  assert found['kills_during_a_checkpoint_write'] >= 1
  assert found['seconds_of_the_slowest_stop'] < 15
  assert 'arrays changed by kills' in capsys.readouterr().out
  with pytest.raises(UserError, match='not empty'):
    faults.run(options)


def test_lost_data_is_an_error(tmp_path, monkeypatch):
  monkeypatch.setattr(processes, 'finish', lambda *args: None)
  monkeypatch.setattr(faults, '_differences', lambda *args: (1, 0))
  silent = {'silent_flips': 2, 'silent_truncations': 0}
  monkeypatch.setattr(faults, '_damage', lambda *args: silent.items())
  options = FaultInjectionConfig(
    workdir=str(tmp_path / 'faults'), num_kills=0, num_stops=0
  )
  with pytest.raises(UserError) as error:
    faults.run(options)
  lost = {
    'arrays_changed_by_kills': 1,
    'arrays_changed_by_stops': 1,
    'silent_flips': 2,
  }
  assert str(error.value).endswith(f'data was lost: {lost}')


def test_flip_changes_one_bit_and_truncate_shortens():
  content, randomness = bytes(range(100)), random.Random(0)
  for _ in range(50):
    flipped = damage.flip(content, randomness)
    bits = [(a ^ b).bit_count() for a, b in zip(content, flipped, strict=True)]
    assert sum(bits) == 1
    cut = damage.truncate(content, randomness)
    assert len(cut) < len(content)
    assert content.startswith(cut)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """Returns config and folder of a short run without report."""
  folder = tmp_path_factory.mktemp('faults') / 'run'
  config = faults.training(FEW)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(trainer, '_report', lambda *args: {})
    train(config, folder=folder)
  return config, folder


@pytest.mark.slow
@pytest.mark.parametrize('change', [damage.flip, damage.truncate])
def test_every_damage_is_detected(change, trained):
  config, folder = trained
  checkpoints = folder / CHECKPOINTS
  found = damage.inject(config, checkpoints, change, 30, random.Random(0))
  assert found == {'fell back': 30}


@pytest.mark.slow
def test_undetected_damage_is_counted_as_silent(trained, monkeypatch):
  config, folder = trained
  checkpoints = folder / CHECKPOINTS
  # A reader that verifies neither digests nor the checksums of zip.
  monkeypatch.setattr(checkpoint.store, 'check_arrays', lambda *args: None)
  monkeypatch.setattr(zipfile.ZipExtFile, '_update_crc', lambda *args: None)
  found = damage.inject(config, checkpoints, damage.flip, 60, random.Random(0))
  assert found['silent'] > 5


@pytest.mark.slow
def test_changed_arrays_are_counted(trained, tmp_path):
  _, folder = trained
  checkpoints = folder / CHECKPOINTS
  assert damage.count_different_arrays(checkpoints, checkpoints) == 0
  older = checkpoint.steps(checkpoints)[0]
  for path in checkpoints.glob(f'step_{older:09d}.*'):
    shutil.copy(path, tmp_path)
  assert damage.count_different_arrays(checkpoints, tmp_path) > 20


@pytest.fixture
def small_disk(tmp_path):
  """Returns a folder on a file system of three megabytes."""
  folder = tmp_path / 'disk'
  folder.mkdir()
  command = ['mount', '-t', 'tmpfs', '-o', 'size=3m', 'none', str(folder)]
  try:
    subprocess.run(command, check=True, capture_output=True)
  except (OSError, subprocess.CalledProcessError):
    pytest.skip('mounting a file system needs privileges')
  yield folder
  subprocess.run(['umount', str(folder)], check=True)


@pytest.mark.slow
def test_full_disk_is_reported_and_loses_nothing(
  small_disk, trained, monkeypatch
):
  monkeypatch.setattr(trainer, '_report', lambda *args: {})
  config, reference = trained
  folder, ballast = small_disk / 'run', small_disk / 'ballast'
  ballast.write_bytes(bytes(2_500_000))
  wanted = r'cannot be saved \(No space left.* checkpoint is step (\d+)'
  with pytest.raises(UserError, match=wanted) as failed:
    train(config, folder=folder)
  step = int(re.search(wanted, str(failed.value))[1])
  assert checkpoint.steps(folder / CHECKPOINTS)[-1] == step
  assert not list(folder.rglob('.*.tmp'))
  # With free space, the run resumes and equals an uninterrupted run.
  ballast.unlink()
  train(config, folder=folder)
  assert faults._differences(reference, folder) == (0, 0)
