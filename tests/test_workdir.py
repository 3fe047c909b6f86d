import json
import os

import jax
import pytest

from vae_jax import workdir
from vae_jax.config import Config
from vae_jax.errors import UserError

CONFIG = Config(latent_dim=3, hidden_sizes=(4, 5), learning_rate=0.5)


@pytest.mark.parametrize(
  ('dataset', 'folder'),
  [
    ('digits', 'runs/digits'),
    ('emnist/letters', 'runs/emnist_letters'),
    ('/data/faces.npz', 'runs/faces'),
  ],
)
def test_default_folder(dataset, folder):
  assert workdir.default(dataset) == folder


def test_config_comes_back_with_versions_beside_it(tmp_path):
  workdir.write_config(tmp_path, CONFIG)
  assert workdir.read_config(tmp_path) == CONFIG
  record = json.loads((tmp_path / 'config.json').read_text())
  assert record['latent_dim'] == 3
  assert record['versions']['jax'].startswith('0.')
  assert 'git_revision' in record


def test_config_without_hidden_layers_comes_back(tmp_path):
  linear = Config(hidden_sizes=(), likelihood='normal')
  workdir.write_config(tmp_path, linear)
  assert workdir.read_config(tmp_path) == linear


def test_data_may_lie_elsewhere_now(tmp_path):
  workdir.write_config(tmp_path, CONFIG)
  assert workdir.read_config(tmp_path, data_dir='/new').data_dir == '/new'


def test_same_options_may_go_on_and_others_are_named(tmp_path):
  workdir.write_config(tmp_path, CONFIG)
  same = Config(**(vars(CONFIG) | {'data_dir': '/x', 'platform': 'cpu'}))
  workdir.check_same_run(tmp_path, same)
  other = Config(**(vars(CONFIG) | {'latent_dim': 4}))
  with pytest.raises(UserError, match='latent_dim=3, not 4'):
    workdir.check_same_run(tmp_path, other)


def test_folder_without_a_run(tmp_path):
  with pytest.raises(UserError, match='holds no run'):
    workdir.read_config(tmp_path)


@pytest.mark.parametrize(
  'content', ['', '{}', '[]', '{"latent_dim": "many"}', '\x00']
)
def test_damaged_config_ends_in_one_line(tmp_path, content):
  (tmp_path / 'config.json').write_text(content)
  with pytest.raises(UserError, match=r'config\.json: damaged'):
    workdir.read_config(tmp_path)


def test_newest_run_is_found(tmp_path):
  with pytest.raises(UserError, match='no run in'):
    workdir.find('', str(tmp_path))
  for age, name in enumerate(('new', 'old')):
    (tmp_path / name).mkdir()
    path = tmp_path / name / 'metrics.jsonl'
    path.touch()
    os.utime(path, (1000 - age, 1000 - age))
  assert workdir.find('', str(tmp_path)).name == 'new'
  assert workdir.find('else', str(tmp_path)).name == 'else'


def test_folder_that_is_a_file(tmp_path):
  path = tmp_path / 'file'
  path.touch()
  with pytest.raises(UserError, match='is a file, must be a folder'):
    workdir.create(str(path))
  with pytest.raises(UserError, match='cannot be written to'):
    workdir.create(str(path / 'below'))


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_folder_that_is_read_only(tmp_path):
  tmp_path.chmod(0o500)
  with pytest.raises(UserError, match='cannot be written to'):
    workdir.create(str(tmp_path))


@pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='no /proc')
def test_folder_that_even_root_cannot_write_to():
  with pytest.raises(UserError, match='cannot be written to'):
    workdir.create('/proc/self')


def test_a_text_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
  path = tmp_path / 'report.html'
  workdir.write_text(path, 'first: ±')

  def fail(*args):
    raise OSError

  monkeypatch.setattr(workdir.os, 'replace', fail)
  with pytest.raises(OSError):  # noqa: PT011
    workdir.write_text(path, 'second')
  assert path.read_text(encoding='utf-8') == 'first: ±'


def test_versions_are_read_back(tmp_path):
  workdir.write_config(tmp_path, Config())
  versions = workdir.read_versions(tmp_path)
  assert versions['jax'] == jax.__version__
  assert set(versions) > {'revision', 'python', 'matplotlib'}
  assert all(isinstance(version, str) for version in versions.values())
