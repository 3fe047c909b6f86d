"""What a disk that fails, or a folder of a stranger's, does to a run."""

import dataclasses
import errno
import os
import shutil

import jax
import numpy as np
import pytest

from vae_jax import checkpoint, evaluation, files, loop, run, workdir
from vae_jax.config import Config, EvaluateConfig
from vae_jax.errors import UserError

FAST = Config(
  dataset='linear_gaussian',
  num_epochs=2,
  hidden_sizes=(),
  latent_dim=2,
  likelihood='normal',
  batch_size=200,
  nll_num_samples=2,
)


@pytest.fixture(autouse=True)
def same_keys_again():
  """Each test begins the same run."""
  with jax.debug_key_reuse(False):
    yield


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  return run.make_run(FAST, tmp_path_factory.mktemp('run'))


def at(prepared, folder):
  return prepared._replace(folder=folder)


def contents(folder):
  paths = [folder, *folder.rglob('*')]
  return {path: path.read_bytes() for path in paths if path.is_file()}


def test_a_state_is_on_the_disk_before_the_first_step(prepared, tmp_path):
  here = at(prepared, tmp_path)
  state = run.start(here)
  assert checkpoint.steps(here.checkpoints) == [0]
  restored = run.restore(here)
  jax.tree.map(np.testing.assert_array_equal, state, restored)
  assert workdir.read_config(tmp_path) == FAST


def test_the_epoch_under_way_is_told_of_once(prepared, tmp_path):
  """An epoch's lines stay with the state that has finished it, only."""
  here = at(prepared, tmp_path)
  state = run.start(here)
  count = here.steps_per_epoch
  state, _ = here.steps(state, count)
  for epoch, kept in ((0, []), (1, [count])):
    run.save(here, state._replace(epoch=state.epoch * 0 + epoch))
    here.metrics.rewind(-1)
    here.metrics.write(count, 1, 'train', {})
    run.restore(here)
    assert [line['step'] for line in here.metrics.read()] == kept


@pytest.mark.parametrize('code', [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_refuses_loses_nothing(
  code, prepared, tmp_path, monkeypatch
):
  here = at(prepared, tmp_path)
  state = run.start(here)
  here.metrics.write(1, 1, 'train', {})
  before = contents(tmp_path)

  def refuse(*args):
    raise OSError(code, os.strerror(code))

  state, _ = here.steps(state, 1)
  monkeypatch.setattr(files.os, 'replace', refuse)
  wanted = rf'step 1 cannot be saved \({os.strerror(code)}\); .*of step 0\. The'
  with pytest.raises(UserError, match=wanted):
    run.save(here, state)
  monkeypatch.undo()
  assert contents(tmp_path) == before
  run.restore(here)


def test_lines_are_on_the_disk_before_the_state_that_knows_them(
  prepared, tmp_path, monkeypatch
):
  here, done = at(prepared, tmp_path), []
  state = run.start(here)
  monkeypatch.setattr(
    run.logger.MetricsLogger, 'sync', lambda self: done.append('lines')
  )
  monkeypatch.setattr(
    run.checkpoint, 'save', lambda *args, **kw: done.append('state')
  )
  run.save(here, state)
  assert done == ['lines', 'state']


def test_a_vanished_folder_is_not_made_anew(prepared, tmp_path):
  here = at(prepared, tmp_path / 'run')
  here.folder.mkdir()
  state = run.start(here)
  shutil.rmtree(here.folder)
  with pytest.raises(UserError, match=r'cannot be saved.*checkpoint is none'):
    run.save(here, state)
  assert not here.folder.exists()


def test_more_steps_than_can_be_counted_are_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(run, '_MOST_STEPS', 50)
  with pytest.raises(UserError, match='=2: are 54 steps, 50 are the most'):
    run.make_run(FAST, tmp_path)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A run that may go on."""
  folder = tmp_path_factory.mktemp('trained') / 'run'
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loop, '_finish', lambda *args: {})
    loop.train(FAST, str(folder))
  return folder


COMMANDS = {
  'train': lambda folder: loop.train(
    dataclasses.replace(FAST, num_epochs=3), folder
  ),
  'evaluate': lambda folder: evaluation.evaluate_run(
    EvaluateConfig(workdir=folder, num_samples=1, checkpoint='best')
  ),
}
LINKED = (
  *('.lock', 'checkpoints', 'checkpoints/best', 'config.json', 'figures'),
  'metrics.jsonl',
)


@pytest.mark.parametrize('name', LINKED)
@pytest.mark.parametrize('command', COMMANDS)
def test_nothing_outside_the_folder_is_read_or_written(
  command, name, trained, tmp_path
):
  """A stranger's folder, one of whose names is a link to a precious one."""
  folder, outside = tmp_path / 'run', tmp_path / 'outside'
  shutil.copytree(trained, folder)
  (folder / 'figures').mkdir()
  (folder / 'figures' / 'learning_curve.png').write_text('precious')
  (folder / name).rename(outside)
  (folder / name).symlink_to(outside)
  before = contents(outside)
  with pytest.raises(UserError, match='is a symbolic link'):
    COMMANDS[command](str(folder))
  assert contents(outside) == before
