import dataclasses
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


def changed(**options):
  return dataclasses.replace(CONFIG, **options)


def test_what_changes_no_number_may_change(tmp_path):
  workdir.write_config(tmp_path, CONFIG)
  options = {
    'data_dir': '/x',
    'platform': 'cpu',
    'nll_num_samples': 7,
    'keep_checkpoints': 9,
    'checkpoint_seconds': 1.0,
    'on_nonfinite': 'skip',
    'monitor_gradients': True,
    'workdir': '/y',
    'num_epochs': CONFIG.num_epochs + 1,
  }
  found = workdir.check_same_run(tmp_path, changed(**options))
  assert found == {name: getattr(CONFIG, name) for name in options}
  assert workdir.check_same_run(tmp_path, CONFIG) == {}


def test_each_other_option_is_refused_by_name(tmp_path):
  workdir.write_config(tmp_path, CONFIG)
  other = changed(latent_dim=4, beta=2.0, num_epochs=1, platform='cpu')
  with pytest.raises(UserError) as error:
    workdir.check_same_run(tmp_path, other)
  assert (
    'with latent_dim=3, not 4; beta=1.0, not 2.0; num_epochs=100, not 1:'
  ) in str(error.value)


def test_a_schedule_over_all_epochs_forbids_more_of_them(tmp_path):
  cosine = changed(schedule='cosine')
  workdir.write_config(tmp_path, cosine)
  with pytest.raises(UserError, match='num_epochs=100, not 101'):
    workdir.check_same_run(
      tmp_path, dataclasses.replace(cosine, num_epochs=101)
    )


def test_other_versions_are_told(tmp_path):
  workdir.write_config(tmp_path, CONFIG)
  assert workdir.other_versions(tmp_path) == []
  path = tmp_path / 'config.json'
  record = json.loads(path.read_text())
  record['versions'] |= {'jax': '0.1', 'numpy': '0.1'}
  path.write_text(json.dumps(record))
  [line] = workdir.other_versions(tmp_path)
  assert line == f'the run began with jax 0.1, this is {jax.__version__}'


def test_folder_without_a_run(tmp_path):
  with pytest.raises(UserError, match='holds no run'):
    workdir.read_config(tmp_path)


@pytest.mark.parametrize(
  'content',
  [
    *('', '{}', '[]', '3', '\x00', '[' * 100_000, '{"latent_dim": "many"}'),
    '9' * 5000,
  ],
  ids=lambda content: content[:9],
)
def test_damaged_config_ends_in_one_line(tmp_path, content):
  (tmp_path / 'config.json').write_text(content)
  for read in (workdir.read_config, workdir.read_versions):
    with pytest.raises(UserError, match=r'config\.json: damaged'):
      read(tmp_path)


@pytest.mark.parametrize(
  ('name', 'value'),
  [
    ('latent_dim', 'many'),
    ('latent_dim', [1]),
    ('latent_dim', None),
    ('latent_dim', 2**70),
    ('hidden_sizes', 3),
    ('hidden_sizes', [[1]]),
    ('hidden_sizes', ['1']),
    ('beta', float('nan')),
    ('dataset', {'a': 1}),
    ('dataset', 'a\nb'),
    ('monitor_gradients', 'yes'),
    ('activation', 'x' * 1000),
  ],
)
def test_a_config_of_impossible_values_is_damaged(name, value, tmp_path):
  workdir.write_config(tmp_path, CONFIG)
  path = tmp_path / 'config.json'
  path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
  with pytest.raises(UserError, match=rf'damaged \(--{name}='):
    workdir.read_config(tmp_path)


def test_a_config_without_an_option_is_of_another_version(tmp_path):
  workdir.write_config(tmp_path, CONFIG)
  path = tmp_path / 'config.json'
  record = json.loads(path.read_text())
  del record['beta'], record['sigma']
  path.write_text(json.dumps(record))
  with pytest.raises(UserError, match='it has no sigma, beta'):
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


def test_versions_are_read_back(tmp_path):
  workdir.write_config(tmp_path, Config())
  versions = workdir.read_versions(tmp_path)
  assert versions['jax'] == jax.__version__
  assert set(versions) > {'revision', 'python', 'matplotlib'}
  assert all(isinstance(version, str) for version in versions.values())
