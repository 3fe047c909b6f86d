"""Training processes that are killed, stopped, or met by a full disk."""

import json
import random
import re
import shutil
import subprocess
import zipfile

import pytest

from vae_jax import checkpoint, faults, loop, workdir
from vae_jax.config import FaultInjectionConfig
from vae_jax.errors import UserError
from vae_jax.faults import damage, processes

FEW = FaultInjectionConfig(num_epochs=4)


@pytest.mark.slow
def test_fifty_kills_three_hundred_flips_and_twenty_stops(tmp_path, capsys):
  options = FaultInjectionConfig(workdir=str(tmp_path / 'faults'))
  found = faults.run(options)
  written = json.loads((tmp_path / 'faults' / faults.RESULTS).read_text())
  assert written == found
  assert found['kills'] == 50
  # Half are aimed, and some write is over before the signal is there.
  assert found['kills_within_a_checkpoint_write'] >= 10
  assert found['seconds_of_the_slowest_stop'] < 15
  assert 'leaves changed by kills' in capsys.readouterr().out
  with pytest.raises(UserError, match='not empty'):
    faults.run(options)


def test_what_is_lost_is_an_error(tmp_path, monkeypatch):
  monkeypatch.setattr(processes, 'finish', lambda *args: None)
  monkeypatch.setattr(faults, '_differences', lambda *args: (1, 0))
  silent = {'flips_that_were_silent': 2, 'truncations_that_were_silent': 0}
  monkeypatch.setattr(faults, '_damage', lambda *args: silent.items())
  options = FaultInjectionConfig(
    workdir=str(tmp_path / 'faults'), num_kills=0, num_stops=0
  )
  with pytest.raises(UserError) as error:
    faults.run(options)
  lost = {
    'leaves_changed_by_kills': 1,
    'leaves_changed_by_stops': 1,
    'flips_that_were_silent': 2,
  }
  assert str(error.value).endswith(f'something was lost: {lost}')


def test_damage_is_damage():
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
  """A short run of the kind that faults are put into, without its report."""
  folder = tmp_path_factory.mktemp('faults') / 'run'
  config = faults.training(FEW)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loop, '_finish', lambda *args: {})
    loop.train(config, str(folder))
  return config, folder


@pytest.mark.parametrize('change', [damage.flip, damage.truncate])
def test_no_damage_is_silent(change, trained):
  config, folder = trained
  checkpoints = folder / workdir.CHECKPOINTS
  found = damage.inject(config, checkpoints, change, 30, random.Random(0))
  assert found == {'fell back': 30}


def test_damage_that_a_reader_does_not_see_is_counted(trained, monkeypatch):
  config, folder = trained
  checkpoints = folder / workdir.CHECKPOINTS
  # A reader that asks for no digest, nor zip for its sums.
  monkeypatch.setattr(checkpoint.store, 'check_arrays', lambda *args: None)
  monkeypatch.setattr(zipfile.ZipExtFile, '_update_crc', lambda *args: None)
  found = damage.inject(config, checkpoints, damage.flip, 60, random.Random(0))
  assert found['silent'] > 5


def test_a_changed_leaf_is_counted(trained, tmp_path):
  _, folder = trained
  checkpoints = folder / workdir.CHECKPOINTS
  assert damage.count_different_leaves(checkpoints, checkpoints) == 0
  older = checkpoint.steps(checkpoints)[0]
  for path in checkpoints.glob(f'step_{older:09d}.*'):
    shutil.copy(path, tmp_path)
  assert damage.count_different_leaves(checkpoints, tmp_path) > 20


@pytest.fixture
def small_disk(tmp_path):
  """A file system of three megabytes."""
  folder = tmp_path / 'disk'
  folder.mkdir()
  command = ['mount', '-t', 'tmpfs', '-o', 'size=3m', 'none', str(folder)]
  try:
    subprocess.run(command, check=True, capture_output=True)
  except (OSError, subprocess.CalledProcessError):
    pytest.skip('this user may not mount a file system')
  yield folder
  subprocess.run(['umount', str(folder)], check=True)


def test_a_full_disk_ends_in_a_line_and_loses_nothing(
  small_disk, trained, monkeypatch
):
  monkeypatch.setattr(loop, '_finish', lambda *args: {})
  config, straight = trained
  folder, ballast = small_disk / 'run', small_disk / 'ballast'
  ballast.write_bytes(bytes(2_500_000))
  wanted = r'cannot be saved \(No space left.* checkpoint is that of step (\d+)'
  with pytest.raises(UserError, match=wanted) as failed:
    loop.train(config, str(folder))
  step = int(re.search(wanted, str(failed.value))[1])
  assert checkpoint.steps(folder / workdir.CHECKPOINTS)[-1] == step
  assert not list(folder.rglob('.*.tmp'))
  # With room again, the run ends where one that never met the end does.
  ballast.unlink()
  loop.train(config, str(folder))
  assert faults._differences(straight, folder) == (0, 0)
