"""The folder of a run: its files, and disks or links that must lose nothing."""

import errno
import os
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.runs import toy
from vae_jax.errors import UserError
from vae_jax.io import checkpoint, files, lock, logger
from vae_jax.runs import Config, loop
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.folder_path import create_folder, default_folder
from vae_jax.runs.record import Record
from vae_jax.runs.save_figure import save_figure

RECORD = Record(Config(latent_dim=3), (8, 8, 1))


@pytest.mark.parametrize(
  ('dataset', 'folder'),
  [
    ('digits', 'runs/digits'),
    ('emnist/letters', 'runs/emnist_letters'),
    ('/data/faces.npz', 'runs/faces'),
    (str(pathlib.Path(__file__).parent), 'runs/runs'),
  ],
)
def test_default_folder_has_the_name_of_the_dataset(dataset, folder):
  assert default_folder(dataset) == folder


def test_newest_run_is_found(tmp_path):
  with pytest.raises(UserError, match='there is no run in'):
    RunFolder.find('', str(tmp_path))
  for age, name in enumerate(('new', 'old')):
    (tmp_path / name).mkdir()
    path = tmp_path / name / 'metrics.jsonl'
    path.touch()
    os.utime(path, (1000 - age, 1000 - age))
  assert RunFolder.find('', str(tmp_path)).path.name == 'new'
  assert RunFolder.find('else', str(tmp_path)).path.name == 'else'
  assert RunFolder.find(tmp_path / 'a').path == tmp_path / 'a'


def test_home_folder_is_expanded():
  assert RunFolder.find('~/run').path == pathlib.Path.home() / 'run'


def test_folder_that_is_a_file_is_refused(tmp_path):
  path = tmp_path / 'file'
  path.touch()
  with pytest.raises(UserError, match='got a file, expected a folder'):
    RunFolder.create(path)
  with pytest.raises(UserError, match='is not writable'):
    create_folder(str(path / 'below'))


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_read_only_folder_is_refused(tmp_path):
  tmp_path.chmod(0o500)
  with pytest.raises(UserError, match='is not writable'):
    create_folder(tmp_path)


@pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='no /proc')
def test_folder_that_even_root_cannot_write_to_is_refused():
  with pytest.raises(UserError, match='is not writable'):
    create_folder('/proc/self')


@pytest.fixture
def started(tmp_path):
  """A folder and the state before the first step, which it holds."""
  folder = RunFolder.create(tmp_path / 'run')
  return folder, loop.start_or_resume(toy.RECIPE, folder)


@pytest.mark.parametrize(
  ('step', 'changes'),
  [
    (3, {'epoch': -3}),
    (3, {'epoch': 3}),
    (3, {'epoch': 2**31 - 1}),
    (500, {}),
    (3, {'step': 500}),
    (3, {'step': -1}),
    (2, {'skipped': 3}),
    (3, {'skipped': -1}),
    (3, {'best_step': 4}),
    (3, {'best_step': -1}),
    (3, {'best_elbo': np.nan}),
  ],
)
def test_states_of_impossible_counts_are_refused(step, changes, started):
  """The digest is right: the file was forged, or the data were replaced."""
  folder, state = started
  state = state._replace(train=state.train._replace(step=jnp.int32(step)))
  for name, value in changes.items():
    if name == 'step':
      state = state._replace(train=state.train._replace(step=jnp.int32(value)))
    else:
      old = getattr(state, name)
      state = state._replace(**{name: jnp.asarray(value, old.dtype)})
  checkpoint.save(folder.checkpoints, step, state)
  folder.log.write(step, 1, 'train', {'elbo': -1.0})
  before = folder.log.read()
  with pytest.raises(UserError, match='epochs of 3 steps'):
    loop.start_or_resume(toy.RECIPE, folder)
  assert folder.log.read() == before


@pytest.mark.parametrize(
  ('step', 'epoch'), [(500, 1), (3, -3), (3, 4), (-1, 1)]
)
def test_an_evaluation_states_no_impossible_counts(step, epoch, started):
  folder, state = started
  train = state.train._replace(step=jnp.int32(step))
  forged = state._replace(train=train, epoch=jnp.int32(epoch))
  checkpoint.save(folder.checkpoints, 3, forged)
  with pytest.raises(UserError, match='expected the counts of one run'):
    folder.epoch_of(3)


@pytest.mark.parametrize('epoch', [-3, 0, 1, 7])
@pytest.mark.parametrize('step', [-5, 0, 4, 500])
def test_loop_ends_whatever_the_counts_are(step, epoch, started):
  folder, state = started
  state = state._replace(
    train=state.train._replace(step=jnp.int32(step)), epoch=jnp.int32(epoch)
  )
  recipe = toy.RECIPE._replace(
    steps=lambda state, count: (
      state._replace(
        train=state.train._replace(step=state.train.step + max(count, 0))
      ),
      toy.NONE,
    ),
    validate=lambda params: {'elbo': 0.0},
  )
  state = loop.train_loop(recipe, folder, state)
  assert int(state.epoch) >= recipe.num_epochs


def contents(path):
  found = [path, *path.rglob('*')]
  return {each: each.read_bytes() for each in found if each.is_file()}


def restore(folder):
  target = jax.eval_shape(toy.init)
  return folder.restore(target, toy.STEPS_PER_EPOCH)


def test_state_before_the_first_step_is_saved(started):
  folder, state = started
  assert checkpoint.steps(folder.checkpoints) == [0]
  jax.tree.map(np.testing.assert_array_equal, state, restore(folder))


def test_metrics_of_an_epoch_stay_only_with_the_state_after_it(started):
  folder, state = started
  count = toy.STEPS_PER_EPOCH
  state, _ = toy.steps(state, count)
  for epoch, kept in ((0, []), (1, [count])):
    folder.save(state._replace(epoch=state.epoch * 0 + epoch))
    folder.log.rewind(-1)
    folder.log.write(count, 1, 'train', {})
    restore(folder)
    assert [line['step'] for line in folder.log.read()] == kept


def test_parameters_of_latest_and_best_are_restored(started):
  folder, state = started
  best = toy.one_step(state)
  folder.save(toy.one_step(best), best)
  target = jax.eval_shape(toy.init).train.params
  for which, expected in (('best', best), ('latest', toy.one_step(best))):
    step, params = folder.restore_params(target, which)
    assert step == expected.train.step
    assert params['a'] == expected.train.params['a']


@pytest.mark.parametrize('code', [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_disk_that_refuses_loses_nothing(code, started, monkeypatch):
  folder, state = started
  folder.log.write(1, 1, 'train', {})
  before = contents(folder.path)

  def refuse(*args):
    raise OSError(code, os.strerror(code))

  state, _ = toy.steps(state, 1)
  monkeypatch.setattr(files.os, 'replace', refuse)
  wanted = (
    rf'step 1 cannot be saved \({os.strerror(code)}\); the last checkpoint is '
    r'step 0\. Free'
  )
  with pytest.raises(UserError, match=wanted):
    folder.save(state)
  monkeypatch.undo()
  assert contents(folder.path) == before
  restore(folder)


def test_metrics_are_on_the_disk_before_the_checkpoint(started, monkeypatch):
  (folder, state), done = started, []
  monkeypatch.setattr(
    logger.MetricsLogger, 'sync', lambda self: done.append('metrics')
  )
  monkeypatch.setattr(
    checkpoint, 'save', lambda *args, **kw: done.append('checkpoint')
  )
  folder.save(state, state)
  assert done == ['metrics', 'checkpoint', 'checkpoint']


def test_removed_folder_is_not_created_again(started):
  folder, state = started
  shutil.rmtree(folder.path)
  with pytest.raises(UserError, match=r'cannot be saved.*checkpoint is none'):
    folder.save(state)
  assert not folder.path.exists()


def write_line(folder, state):
  folder.log.write(1, 1, 'train', {})


WRITES = {
  'checkpoint': lambda folder, state: folder.save(state),
  'metrics': write_line,
  'rewind': lambda folder, state: folder.log.rewind(9),
  'sync': lambda folder, state: folder.log.sync(),
  'record': lambda folder, state: folder.write_record(RECORD),
  'report': lambda folder, state: files.write_text(folder.report, 'page'),
  'figure': lambda folder, state: save_figure(
    folder.figures / 'a.png', Figure()
  ),
}


def write_elsewhere(folder, write, state, replacement):
  """Writes to a claimed folder that was moved, and perhaps replaced."""
  with folder.claim():
    folder.path.rename(folder.path.with_name('old'))
    if replacement:
      replacement.rename(folder.path)
    write(folder, state)


@pytest.mark.parametrize('write', WRITES.values(), ids=WRITES)
def test_moved_folder_ends_the_run_and_the_next_one_is_untouched(
  write, started, tmp_path
):
  folder, state = started
  write_line(folder, state)
  second = RunFolder.create(tmp_path / 'second')
  # A later step, which the first run would remove as one of its future.
  second.save(toy.one_step(toy.one_step(state)))
  write_line(second, state)
  before = {x.name: y for x, y in contents(second.path).items()}
  with pytest.raises(UserError, match=r'run: was moved, removed or replaced'):
    write_elsewhere(folder, write, toy.one_step(state), second.path)
  assert {x.name: y for x, y in contents(folder.path).items()} == before


@pytest.mark.parametrize('name', ['checkpoint', 'metrics', 'record', 'figure'])
def test_removed_folder_ends_the_run_and_stays_removed(name, started):
  folder, state = started
  with pytest.raises(UserError, match=r'run: was moved, removed or replaced'):
    write_elsewhere(folder, WRITES[name], toy.one_step(state), None)
  assert not folder.path.exists()


def test_folder_that_comes_back_is_written_again(started):
  folder, state = started
  with folder.claim():
    folder.path.rename(folder.path.with_name('old'))
    folder.path.with_name('old').rename(folder.path)
    folder.save(toy.one_step(state))
  with folder.claim():
    write_line(folder, state)


CODES = (
  *(errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EACCES),
  errno.EFBIG,
)


def write_refused(folder, write, state, name, refuse):
  with folder.claim(), pytest.MonkeyPatch.context() as patch:
    patch.setattr(files.os, name, refuse)
    write(folder, state)


@pytest.mark.parametrize('code', CODES)
@pytest.mark.parametrize(
  ('name', 'writes'),
  [
    ('open', ('record', 'report', 'figure', 'checkpoint', 'metrics')),
    ('fsync', ('record', 'report', 'figure', 'checkpoint', 'sync')),
    ('replace', ('record', 'report', 'figure', 'checkpoint', 'rewind')),
  ],
)
def test_refused_write_names_the_file_and_what_is_safe(
  name, writes, code, started, monkeypatch
):
  (folder, state), there = started, getattr(os, name)
  write_line(folder, state)

  def refuse(*args, **kwargs):
    if name != 'open' or args[1] & os.O_CREAT:
      raise OSError(code, os.strerror(code))
    return there(*args, **kwargs)

  reason = rf'\({os.strerror(code)}\); the last checkpoint is step 0\. Free'
  paths = {
    'record': 'config.json',
    'report': 'report.html',
    'figure': 'figures/a.png',
    'checkpoint': 'checkpoints: step 1',
  }
  for write in writes:
    path = paths.get(write, 'metrics.jsonl')
    with pytest.raises(UserError, match=rf'{path}.*cannot be .*{reason}'):
      write_refused(folder, WRITES[write], toy.one_step(state), name, refuse)
  if name == 'open':
    monkeypatch.setattr(files.os, name, refuse)
    with (
      pytest.raises(UserError, match=rf'\.lock: cannot be .*{reason}'),
      folder.claim(),
    ):
      pytest.fail('claimed')


@pytest.mark.parametrize('code', [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_file_system_without_fsync_is_only_a_warning(
  code, started, monkeypatch, caplog
):
  folder, state = started
  files._warn_unflushed.cache_clear()

  def refuse(descriptor):
    raise OSError(code, os.strerror(code))

  monkeypatch.setattr(files.os, 'fsync', refuse)
  write_line(folder, state)
  for _ in range(2):
    state = toy.one_step(state)
    folder.save(state)
  assert checkpoint.steps(folder.checkpoints) == [1, 2]
  here = [x for x in caplog.messages if f'{folder.checkpoints}: its' in x]
  assert len(here) == 1
  assert os.strerror(code) in here[0]


def test_last_good_checkpoint_is_not_a_damaged_one(started):
  folder, state = started
  folder.save(toy.one_step(state))
  assert folder.last_good() == 'the last checkpoint is step 1'
  (folder.checkpoints / 'step_000000001.npz').write_bytes(b'')
  assert folder.last_good() == 'the last checkpoint is step 0'
  (folder.checkpoints / 'step_000000000.json').write_text('{}')
  assert folder.last_good() == 'the last checkpoint is none'


def test_second_process_is_refused(started):
  folder, _ = started
  with folder.claim():
    wanted = f'process {os.getpid()} on'
    with pytest.raises(UserError, match=wanted), folder.claim():
      pass
    with pytest.raises(UserError, match=wanted), lock.claim(folder.path):
      pass


def train(folder):
  """Does to a folder what a training run does, but for the report."""
  with folder.claim():
    folder.check_same_run(RECORD)
    recipe = toy.RECIPE._replace(num_epochs=3)
    loop.train_loop(recipe, folder, loop.start_or_resume(recipe, folder))


def evaluate(folder):
  """Does to a folder what an evaluation does, but for the report."""
  folder.read_record()
  with folder.claim():
    target = jax.eval_shape(toy.init).train.params
    folder.restore_params(target, 'best')
    folder.log.write_once(1, 1, 'test', {'elbo': 1.0})


LINKED = (
  *('.lock', 'checkpoints', 'checkpoints/best', 'config.json'),
  'metrics.jsonl',
)


@pytest.mark.parametrize('name', LINKED)
@pytest.mark.parametrize('use', [train, evaluate])
def test_nothing_outside_the_folder_is_read_or_written(use, name, tmp_path):
  """A folder from a stranger, in which one name is a symbolic link."""
  folder, outside = RunFolder.create(tmp_path / 'run'), tmp_path / 'outside'
  folder.write_record(RECORD)
  state = loop.start_or_resume(toy.RECIPE, folder)
  loop.train_loop(toy.RECIPE, folder, state)
  with folder.claim():
    pass
  (folder.path / name).rename(outside)
  (folder.path / name).symlink_to(outside)
  before = contents(outside)
  with pytest.raises(UserError, match='symbolic link'):
    use(folder)
  assert contents(outside) == before
