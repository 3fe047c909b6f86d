import json

import jax
import pytest

from vae_jax.errors import UserError
from vae_jax.runs import Config, record, versions
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.record import Record

CONFIG = Config(latent_dim=3, hidden_sizes=(4, 5), learning_rate=0.5)
RECORD = Record(CONFIG, (8, 8, 1))


@pytest.fixture
def folder(tmp_path):
  found = RunFolder(tmp_path)
  found.write_record(RECORD)
  return found


def edit(folder, change):
  """Changes the record as JSON."""
  content = json.loads(folder.config.read_text())
  change(content)
  folder.config.write_text(json.dumps(content))


def test_record_is_read_back_with_versions_beside_it(folder):
  assert folder.read_record() == RECORD
  content = json.loads(folder.config.read_text())
  assert content['model']['latent_dim'] == 3
  assert content['data_shape'] == [8, 8, 1]
  assert content['versions']['jax'].startswith('0.')
  assert 'git_revision' in content


def test_record_without_hidden_layers_is_read_back(tmp_path):
  linear = Record(Config(hidden_sizes=(), likelihood='normal'), (10,))
  RunFolder(tmp_path).write_record(linear)
  assert RunFolder(tmp_path).read_record() == linear


def test_data_dir_may_change(folder):
  assert folder.read_record(data_dir='/new').config.data.data_dir == '/new'
  assert folder.read_record().config.data.data_dir == ''


def test_dataset_may_move_if_its_digests_are_recorded(folder):
  moved = RECORD._replace(config=CONFIG.replace(dataset='/new.npz'))
  assert folder.read_record(dataset='/new.npz') == moved
  with pytest.raises(UserError, match=r'--dataset=/new\.npz, expected digits'):
    folder.check_same_run(moved)
  with_digests = RECORD._replace(data_digests={'train': 'ab', 'test': 'cd'})
  folder.write_record(with_digests)
  assert folder.read_record() == with_digests
  assert folder.check_same_run(moved) == {'dataset': 'digits'}


@pytest.mark.parametrize('value', [3, 'ab', ['ab'], {'train': 3}])
def test_damaged_digests_are_refused(value, folder):
  edit(folder, lambda content: content.update(data_digests=value))
  with pytest.raises(UserError, match=r'damaged .*data_digests: got'):
    folder.read_record()


@pytest.mark.parametrize('optimizer', [False, True])
@pytest.mark.parametrize('model', ['', 'Flow'])
def test_options_replaced_from_python_are_not_recorded(
  model, optimizer, tmp_path
):
  config = Config(likelihood='normal', batch_size=7)
  own = Record(config, (5,), custom_model=model, custom_optimizer=optimizer)
  folder = RunFolder(tmp_path)
  folder.write_record(own)
  assert folder.read_record() == own
  content = json.loads(folder.config.read_text())
  if model:
    assert content['model'] == {'likelihood': 'normal', 'custom': 'Flow'}
  assert ('learning_rate' in content['optimizer']) != optimizer
  assert content['optimizer'].get('custom', False) == optimizer
  assert content['optimizer']['batch_size'] == 7
  assert ('hidden_sizes' in own.options()) == (not model)


def test_options_that_change_no_number_may_change(folder):
  options = {
    'data_dir': '/x',
    'platform': 'cpu',
    'nll_num_samples': 7,
    'keep_checkpoints': 9,
    'checkpoint_seconds': 1.0,
    'on_nonfinite': 'skip',
    'monitor_gradients': True,
    'workdir': '/y',
    'num_epochs': CONFIG.optimizer.num_epochs + 1,
  }
  new = RECORD._replace(config=CONFIG.replace(**options))
  before = CONFIG.flat()
  expected = {name: before[name] for name in options}
  assert folder.check_same_run(new) == expected
  assert folder.check_same_run(RECORD) == {}


def test_every_other_changed_option_is_refused_by_name(folder):
  other = CONFIG.replace(latent_dim=4, beta=2.0, num_epochs=1, platform='cpu')
  with pytest.raises(UserError) as error:
    folder.check_same_run(RECORD._replace(config=other))
  message = str(error.value)
  for words in (
    '--latent_dim=4, expected 3',
    '--beta=2.0, expected 1.0',
    '--num_epochs=1, expected 100',
  ):
    assert words in message
  assert 'platform' not in message
  assert '\n' not in message


def test_more_epochs_are_refused_if_the_schedule_depends_on_them(tmp_path):
  folder = RunFolder(tmp_path)
  cosine = Record(CONFIG.replace(schedule='cosine'), (8, 8, 1))
  folder.write_record(cosine)
  more = cosine._replace(config=cosine.config.replace(num_epochs=101))
  with pytest.raises(UserError, match='num_epochs=101, expected 100'):
    folder.check_same_run(more)
  own = cosine._replace(custom_optimizer=True)
  folder.write_record(own)
  more = more._replace(custom_optimizer=True)
  assert folder.check_same_run(more) == {'num_epochs': 100}


def test_options_of_a_replaced_model_are_not_compared(tmp_path):
  folder = RunFolder(tmp_path)
  own = RECORD._replace(custom_model='Flow')
  folder.write_record(own)
  other = own._replace(config=CONFIG.replace(latent_dim=9))
  assert folder.check_same_run(other) == {}
  real = own._replace(config=CONFIG.replace(likelihood='normal'))
  with pytest.raises(UserError, match='likelihood=normal, expected bernoulli'):
    folder.check_same_run(real)


@pytest.mark.parametrize(
  ('stored', 'new', 'message'),
  [
    ({}, {'custom_model': 'Flow'}, 'got model=Flow, expected a model built'),
    ({'custom_model': 'Flow'}, {}, 'got a model built.*expected model=Flow'),
    ({'custom_model': 'A'}, {'custom_model': 'B'}, 'model=B, expected model=A'),
    ({'custom_optimizer': True}, {}, 'expected optimizer= from Python'),
  ],
)
def test_model_and_optimizer_keep_their_origin(stored, new, message, tmp_path):
  folder = RunFolder(tmp_path)
  folder.write_record(RECORD._replace(**stored))
  with pytest.raises(UserError, match=message):
    folder.check_same_run(RECORD._replace(**new))


def test_changed_versions_are_named(folder):
  assert folder.version_warnings() == []
  edit(folder, lambda x: x['versions'].update(jax='0.1', numpy='0.1'))
  [line] = folder.version_warnings()
  assert line == f'the run started with jax 0.1, this is {jax.__version__}'


@pytest.mark.parametrize('name', ['vae_jax', 'jaxlib', 'flax', 'optax'])
def test_every_version_that_matters_is_named(name, folder):
  edit(folder, lambda x: x['versions'].update({name: '0.0.1'}))
  [line] = folder.version_warnings()
  assert line.startswith(f'the run started with {name} 0.0.1, this is ')


@pytest.mark.parametrize(
  ('key', 'name'),
  [('git_revision', 'revision'), ('source_digest', 'sources')],
)
def test_other_sources_are_named(key, name, folder):
  edit(folder, lambda x: x.update({key: 'abc'}))
  [line] = folder.version_warnings()
  assert line.startswith(f'the run started with {name} abc, this is ')


def test_unknown_revision_is_said(folder, monkeypatch):
  edit(folder, lambda x: x.update(git_revision='abc'))
  monkeypatch.setattr(versions.revision, 'git_revision', lambda: None)
  [line] = folder.version_warnings()
  assert line == 'the run started with revision abc, this is unknown'


def test_first_versions_stay_and_later_ones_are_added(folder, monkeypatch):
  first = json.loads(folder.config.read_text())
  more = RECORD._replace(config=CONFIG.replace(num_epochs=101))
  folder.write_record(more, resumed=True)
  content = json.loads(folder.config.read_text())
  assert folder.read_record() == more
  environment = versions.KEYS
  assert [content[k] for k in environment] == [first[k] for k in environment]
  assert 'resumed' not in content
  monkeypatch.setattr(versions.revision, 'git_revision', lambda: 'f' * 40)
  for _ in range(2):
    folder.write_record(more, resumed=True)
  content = json.loads(folder.config.read_text())
  assert [content[k] for k in environment] == [first[k] for k in environment]
  [later] = content['resumed']
  assert later['git_revision'] == 'f' * 40
  assert later['versions'] == first['versions']
  # A new run in the folder has a record of its own.
  folder.write_record(RECORD)
  content = json.loads(folder.config.read_text())
  assert content['git_revision'] == 'f' * 40
  assert 'resumed' not in content


def test_record_of_the_same_run_is_not_written_again(folder, monkeypatch):
  monkeypatch.setattr(record.files, 'write_text', lambda *args: 1 / 0)
  folder.write_record(RECORD, resumed=True)


EDITS = {
  'option': lambda x: x['optimizer'].update(learning_rate=0.25),
  'free option': lambda x: x['run'].update(nll_num_samples=3),
  'shape': lambda x: x.update(data_shape=[4, 16, 1]),
  'likelihood': lambda x: x['model'].update(likelihood='normal'),
}


@pytest.mark.parametrize('change', EDITS.values(), ids=EDITS)
def test_edited_record_is_reported_each_time(change, folder, caplog):
  folder.read_record()
  assert caplog.text == ''
  edit(folder, change)
  for count in (1, 2):
    edited = folder.read_record()
    assert caplog.text.count('config.json: was edited') == count
    more = edited.config.replace(keep_checkpoints=9)
    folder.write_record(edited._replace(config=more), resumed=True)


def test_record_without_a_digest_is_not_called_edited(folder, caplog):
  edit(folder, lambda x: [x.pop('digest'), x['model'].update(latent_dim=5)])
  folder.read_record()
  assert caplog.text == ''


def test_forged_record_cannot_steer_the_terminal(folder):
  escape = '\x1b]0;title\x07'
  edit(folder, lambda x: x['model'].update(custom=escape))
  with pytest.raises(UserError, match='title') as error:
    folder.check_same_run(RECORD)
  assert str(error.value).isprintable()
  edit(folder, lambda x: x['model'].update(likelihood=escape))
  with pytest.raises(UserError, match='title') as error:
    folder.read_record()
  assert str(error.value).isprintable()


def test_versions_are_read_back(folder):
  versions = folder.read_versions()
  assert versions['jax'] == jax.__version__
  assert set(versions) > {'revision', 'python', 'matplotlib'}
  assert all(isinstance(version, str) for version in versions.values())


def test_folder_without_a_run_is_named(tmp_path):
  with pytest.raises(UserError, match=f'{tmp_path}: holds no run'):
    RunFolder(tmp_path).read_record()


@pytest.mark.parametrize(
  'content',
  [
    *('', '{}', '[]', '3', '\x00', '[' * 100_000, '{"latent_dim": "many"}'),
    '9' * 5000,
  ],
  ids=lambda content: content[:9],
)
def test_damaged_record_raises_one_line(tmp_path, content):
  (tmp_path / 'config.json').write_text(content)
  folder = RunFolder(tmp_path)
  for read in (folder.read_record, folder.read_versions):
    with pytest.raises(UserError, match=r'config\.json: damaged'):
      read()


@pytest.mark.parametrize(
  ('part', 'name', 'value'),
  [
    ('model', 'latent_dim', 'many'),
    ('model', 'latent_dim', [1]),
    ('model', 'latent_dim', None),
    ('model', 'latent_dim', 2**70),
    ('model', 'hidden_sizes', 3),
    ('model', 'hidden_sizes', [[1]]),
    ('model', 'hidden_sizes', ['1']),
    ('model', 'activation', 'x' * 1000),
    ('objective', 'beta', float('nan')),
    ('data', 'dataset', {'a': 1}),
    ('data', 'dataset', 'a\nb'),
    ('run', 'monitor_gradients', 'yes'),
  ],
)
def test_impossible_values_are_named(part, name, value, folder):
  edit(folder, lambda x: x[part].update({name: value}))
  with pytest.raises(UserError, match=rf'damaged \(--{name}: got'):
    folder.read_record()


@pytest.mark.parametrize('value', [3, 'a', [0], [-1, 2], [1.5], [True], [None]])
def test_impossible_data_shapes_are_named(value, folder):
  edit(folder, lambda x: x.update(data_shape=value))
  with pytest.raises(UserError, match=r'damaged \(data_shape: got'):
    folder.read_record()


def test_missing_options_are_named(folder):
  edit(folder, lambda x: [x['model'].pop('sigma'), x['objective'].pop('beta')])
  with pytest.raises(UserError, match='it has no sigma, beta'):
    folder.read_record()


def test_parts_of_the_wrong_type_are_damaged(folder):
  for part in ('model', 'optimizer', 'objective'):
    edit(folder, lambda x, name=part: x.update({name: 3}))
    with pytest.raises(UserError, match='damaged'):
      folder.read_record()
  assert record.read_versions(folder.config)
