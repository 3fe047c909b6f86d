import json
import os
import signal
import subprocess
import sys

import pytest

from vae_jax import lock
from vae_jax.errors import UserError

HOLD = """
import pathlib, sys, time
from vae_jax import lock
with lock.claim(pathlib.Path(sys.argv[1])):
  print('held', flush=True)
  time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
  """Another process that writes to the folder."""
  command = [sys.executable, '-c', HOLD, str(tmp_path)]
  with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
    assert process.stdout.readline() == 'held\n'
    yield process
    process.kill()


def test_a_second_writer_is_refused_and_told_of_the_first(tmp_path, holder):
  with (
    pytest.raises(UserError, match=f'process {holder.pid} on .* writes there'),
    lock.claim(tmp_path),
  ):
    pytest.fail('both hold it')


def test_the_lock_of_a_killed_process_holds_up_nobody(tmp_path, holder):
  os.kill(holder.pid, signal.SIGKILL)
  holder.wait()
  assert json.loads((tmp_path / lock.NAME).read_text())['pid'] == holder.pid
  with lock.claim(tmp_path):
    assert json.loads((tmp_path / lock.NAME).read_text())['pid'] == os.getpid()


def test_the_owner_is_another_process_where_its_name_is_lost(tmp_path, holder):
  (tmp_path / lock.NAME).write_text('\x00' * 9)
  with pytest.raises(UserError, match='another process'), lock.claim(tmp_path):
    pytest.fail('both hold it')


def test_a_folder_can_be_claimed_again_and_again(tmp_path):
  (tmp_path / lock.NAME).write_text('x' * 5000)
  for _ in range(3):
    with lock.claim(tmp_path):
      # Nothing is left of who was there before.
      json.loads((tmp_path / lock.NAME).read_text())


def test_no_link_is_followed(tmp_path):
  precious = tmp_path / 'precious'
  precious.write_text('text')
  (tmp_path / lock.NAME).symlink_to(precious)
  with pytest.raises(UserError, match='symbolic link'), lock.claim(tmp_path):
    pytest.fail('followed')
  assert precious.read_text() == 'text'
