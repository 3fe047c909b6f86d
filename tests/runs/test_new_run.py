"""The start of a run: folders with other files, and starts that fail."""

import shutil

import pytest

from tests.runs import toy
from vae_jax.errors import UserError
from vae_jax.io import files, signals
from vae_jax.runs import Config, loop, new_run
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.record import Record

RECORD = Record(Config(latent_dim=3), (8, 8, 1))


def contents(path):
  found = [path, *path.rglob('*')]
  return {each: each.read_bytes() for each in found if each.is_file()}


OTHERS = {
  'config.json': '{"lr": 1}',
  'metrics.jsonl': '{"loss": 1}\n',
  'checkpoints/model.pt': 'x',
  'checkpoints/step_000000003.npz': 'x',
  'figures/loss.png': 'x',
  'report.html': 'x',
}


@pytest.mark.parametrize('name', OTHERS)
def test_folder_of_another_program_is_left_as_it_is(name, tmp_path):
  path = tmp_path / name
  path.parent.mkdir(exist_ok=True)
  path.write_text(OTHERS[name])
  before = contents(tmp_path)
  wanted = name.split('/')[0].replace('.', r'\.')
  with (
    pytest.raises(UserError, match=f'{wanted}.*se another --workdir'),
    new_run.claim(tmp_path),
  ):
    pytest.fail('claimed')
  if name != 'config.json':
    with pytest.raises(UserError, match=wanted):
      loop.start_or_resume(toy.RECIPE, RunFolder(tmp_path))
  assert contents(tmp_path) == before


@pytest.mark.parametrize('removed', [('checkpoints',), ('checkpoints', 'm*')])
def test_run_without_its_checkpoints_is_left_as_it_is(removed, tmp_path):
  folder = RunFolder.create(tmp_path)
  folder.write_record(RECORD)
  loop.train_loop(toy.RECIPE, folder, loop.start_or_resume(toy.RECIPE, folder))
  files.make_folder(folder.figures)
  (folder.figures / 'curve.png').touch()
  for path in [found for each in removed for found in tmp_path.glob(each)]:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
  before = contents(tmp_path)
  with (
    pytest.raises(
      UserError, match=r'without a checkpoint.*Put its checkpoints'
    ),
    new_run.claim(tmp_path),
  ):
    pytest.fail('claimed')
  assert contents(tmp_path) == before


def start_and_raise(path, begin, failure):
  with new_run.claim(path) as folder:
    folder.write_record(RECORD)
    begin(folder)
    raise failure


@pytest.mark.parametrize('failure', [UserError('no'), signals.Stopped(15)])
@pytest.mark.parametrize('is_new', [True, False])
def test_failed_start_leaves_nothing(failure, is_new, tmp_path):
  path = tmp_path / 'a' / 'b'
  if not is_new:
    path.mkdir(parents=True)
    (path / 'notes').touch()
  before = contents(tmp_path)
  begin = lambda folder: files.make_folder(folder.checkpoints)
  with pytest.raises(type(failure)):
    start_and_raise(path, begin, failure)
  assert contents(tmp_path) == before
  assert path.exists() != is_new
  assert (tmp_path / 'a').exists() != is_new


def test_run_that_fails_later_stays(tmp_path):
  folder = RunFolder(tmp_path / 'run')
  with pytest.raises(UserError, match='later'):
    start_and_raise(
      folder.path, lambda folder: folder.save(toy.init()), UserError('later')
    )
  assert folder.read_record() == RECORD
  assert folder.has_checkpoint()
