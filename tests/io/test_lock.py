import errno
import json
import os
import signal
import subprocess
import sys

import pytest

import vae_jax
from vae_jax.errors import UserError
from vae_jax.io import files, lock

# Importing `vae_jax` would import jax, which takes a second.
HOLD = """
import pathlib, sys, time, types
sys.modules['vae_jax'] = types.ModuleType('vae_jax')
sys.modules['vae_jax'].__path__ = [sys.argv[2]]
from vae_jax.io import lock
with lock.claim(pathlib.Path(sys.argv[1])):
  print('locked', flush=True)
  time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
  """Another process that holds the lock of the folder."""
  command = [sys.executable, '-c', HOLD, str(tmp_path), *vae_jax.__path__]
  with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
    assert process.stdout.readline() == 'locked\n'
    yield process
    process.kill()


def test_a_second_writer_is_refused_with_the_pid_of_the_first(tmp_path, holder):
  with (
    pytest.raises(UserError, match=f'process {holder.pid} on .* writes there'),
    lock.claim(tmp_path),
  ):
    pytest.fail('two processes hold the lock')


def test_the_lock_of_a_killed_process_is_released(tmp_path, holder):
  os.kill(holder.pid, signal.SIGKILL)
  holder.wait()
  assert json.loads((tmp_path / lock.NAME).read_text())['pid'] == holder.pid
  with lock.claim(tmp_path):
    assert json.loads((tmp_path / lock.NAME).read_text())['pid'] == os.getpid()


def test_a_damaged_lock_file_still_refuses_a_second_writer(tmp_path, holder):
  (tmp_path / lock.NAME).write_text('\x00' * 9)
  with pytest.raises(UserError, match='another process'), lock.claim(tmp_path):
    pytest.fail('two processes hold the lock')


def test_a_folder_can_be_claimed_repeatedly(tmp_path):
  (tmp_path / lock.NAME).write_text('x' * 5000)
  for _ in range(3):
    with lock.claim(tmp_path):
      # Raises if anything of the previous content remains.
      json.loads((tmp_path / lock.NAME).read_text())


def test_claim_follows_no_symbolic_link(tmp_path):
  precious = tmp_path / 'precious'
  precious.write_text('text')
  (tmp_path / lock.NAME).symlink_to(precious)
  with pytest.raises(UserError, match='symbolic link'), lock.claim(tmp_path):
    pytest.fail('followed')
  assert precious.read_text() == 'text'


@pytest.mark.parametrize(
  'code', [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL]
)
def test_file_system_without_locks_is_only_a_warning(
  code, tmp_path, monkeypatch, caplog
):
  def refuse(*args):
    raise OSError(code, os.strerror(code))

  monkeypatch.setattr(lock.fcntl, 'flock', refuse)
  with lock.claim(tmp_path):
    assert json.loads((tmp_path / lock.NAME).read_text())['pid'] == os.getpid()
  assert f'warning: {tmp_path}: its file system has no locks' in caplog.text
  assert os.strerror(code) in caplog.text


def test_lock_that_fails_otherwise_names_its_file(tmp_path, monkeypatch):
  def refuse(*args):
    raise OSError(errno.EIO, os.strerror(errno.EIO))

  monkeypatch.setattr(lock.fcntl, 'flock', refuse)
  with pytest.raises(files.WriteError) as error, lock.claim(tmp_path):
    pytest.fail('claimed')
  assert error.value.filename == str(tmp_path / lock.NAME)


def test_lock_file_that_was_removed_in_between_is_not_a_lock(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(
    lock.fcntl, 'flock', lambda *args: (tmp_path / lock.NAME).unlink()
  )
  with pytest.raises(UserError, match='left it'), lock.claim(tmp_path):
    pytest.fail('claimed')
