import os
import pathlib
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from vae_jax import data
from vae_jax.data import tfds_sets
from vae_jax.errors import ReadError, UserError

SHAPES = {
  'mnist': (28, 28, 1),
  'fashion_mnist': (28, 28, 1),
  'binarized_mnist': (28, 28, 1),
  'omniglot': (105, 105, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize('name', ['mnist', 'fashion_mnist'])
def test_test_splits_are_the_published_ones(name, real_data):
  test = data.load_test(name, data_dir=str(real_data / 'tfds'))
  assert test.x.shape == (10_000, 28, 28, 1)
  assert test.x.dtype == np.uint8
  mean = {'mnist': 0.132515, 'fashion_mnist': 0.286849}[name]
  np.testing.assert_allclose(test.x.mean() / 255, mean, atol=1e-6)
  assert len(test.labels) == 10_000


def test_classes_have_names(real_data):
  folder = str(real_data / 'tfds')
  names = data.class_names('fashion_mnist', data_dir=folder)
  assert len(names) == 10
  assert (names[1], names[-1]) == ('Trouser', 'Ankle boot')
  # Sets without labels, and without names.
  assert data.class_names('binarized_mnist', data_dir=folder) == []
  assert data.class_names('digits') == data.class_names('my.npz') == []


@pytest.fixture
def first_thousand(monkeypatch):
  """Reads the first 1,000 examples of each split only."""
  read = tfds_sets.open_split
  monkeypatch.setattr(
    tfds_sets,
    'open_split',
    lambda builder, split: read(builder, f'{split}[:1000]'),
  )


def test_validation_is_separated_from_train(real_data, first_thousand):
  folder = str(real_data / 'tfds')
  options = {'data_dir': folder, 'num_validation': 70}
  parts = data.load_train('mnist', **options)
  assert [len(part.x) for part in parts] == [930, 70]
  whole = tfds_sets.read('mnist', ['train'], folder)['train']
  for found in zip(parts, data.load_train('mnist', **options), strict=True):
    np.testing.assert_array_equal(*(split.x for split in found))
  pixels = lambda x: sorted(image.tobytes() for image in x)
  both = np.concatenate([part.x for part in parts])
  assert pixels(both) == pixels(whole.x)


def test_binarized_mnist_has_its_own_validation_split(
  real_data, first_thousand
):
  train, validation = data.load_train(
    'binarized_mnist', data_dir=str(real_data / 'tfds'), num_validation=7
  )
  assert len(train.x) == len(validation.x) == 1000
  assert not np.array_equal(train.x, validation.x)
  for split in (train, validation):
    assert set(np.unique(split.x)) == {0, 255}


@pytest.mark.long
@pytest.mark.slow
def test_training_splits_are_the_published_ones(real_data):
  folder = str(real_data / 'tfds')
  options = {'data_dir': folder, 'num_validation': 1000}
  train, validation = data.load_train('mnist', **options)
  assert len(train.x) == 59_000
  assert len(validation.x) == 1000
  total = sum(split.x.sum(dtype=np.int64) for split in (train, validation))
  exact = 0.130660 * 255 * 60_000 * 784
  np.testing.assert_allclose(total, exact, rtol=1e-5)
  train, validation = data.load_train('binarized_mnist', **options)
  assert len(train.x) == 50_000
  assert len(validation.x) == 10_000
  assert set(np.unique(train.x)) == {0, 255}
  np.testing.assert_allclose(validation.x.mean() / 255, 0.131127, atol=1e-6)


@pytest.mark.long
@pytest.mark.slow
def test_omniglot_has_one_channel(real_data):
  test = data.load_test('omniglot', data_dir=str(real_data / 'tfds'))
  assert test.x.shape == (13_180, 105, 105, 1)
  np.testing.assert_allclose(test.x.mean() / 255, 0.915716, atol=1e-6)


def copy_test_split(real_data, tmp_path):
  source = real_data / 'tfds' / 'mnist'
  target = tmp_path / 'mnist'
  shutil.copytree(
    source,
    target,
    copy_function=shutil.copyfile,
    ignore=shutil.ignore_patterns('*-train*'),
  )
  for path in [tmp_path, *tmp_path.rglob('*')]:
    path.chmod(0o755 if path.is_dir() else 0o644)
  return next(target.glob('*'))


def flip(content):
  content = bytearray(content)
  content[len(content) // 2] ^= 1
  return bytes(content)


@pytest.mark.quick('empty', 'truncated')
@pytest.mark.parametrize(
  'damage',
  [flip, lambda x: x[: len(x) // 2], lambda x: b''],
  ids=['flipped bit', 'truncated', 'empty'],
)
def test_damaged_records_raise_a_one_line_error(damage, real_data, tmp_path):
  folder = copy_test_split(real_data, tmp_path)
  path = next(folder.glob('mnist-test*'))
  path.write_bytes(damage(path.read_bytes()))
  with pytest.raises(UserError, match='may be damaged') as error:
    data.load_test('mnist', data_dir=str(tmp_path))
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  'damage',
  [lambda path: path.unlink(), lambda path: os.truncate(path, 10**5)],
  ids=['missing', 'truncated'],
)
def test_damaged_file_is_named_when_it_is_read(damage, real_data, tmp_path):
  import tensorflow_datasets as tfds

  folder = copy_test_split(real_data, tmp_path)
  builder = tfds.builder('mnist', data_dir=str(tmp_path))
  x = tfds_sets.open_split(builder, 'test')
  path = next(folder.glob('mnist-test*'))
  damage(path)
  with pytest.raises(ReadError, match=f'^{path}: .*may be damaged') as error:
    x[np.array([9000, 3])]
  assert '\n' not in str(error.value)


def test_rows_on_disk_are_those_in_memory(real_data, first_thousand):
  options = {'data_dir': str(real_data / 'tfds'), 'num_validation': 50}
  held, one = data.load_train('mnist', **options)
  streamed, other = data.load_train('mnist', **options, stream='always')
  assert streamed.x.shape == held.x.shape
  rows = np.array([900, 3, 3, 20])
  found = streamed.x.read(rows)
  np.testing.assert_array_equal(found.x, held.x[rows])
  np.testing.assert_array_equal(found.labels, held.labels[rows])
  np.testing.assert_array_equal(other.x, one.x)
  assert data.digest(streamed) == data.digest(held)


def test_images_of_another_dtype_are_refused():
  features = SimpleNamespace(shape={'image': (2, 2)}, np_dtype={'image': 'f4'})
  with pytest.raises(
    UserError, match='images of dtype float32, expected uint8'
  ):
    tfds_sets._check_images('x', features)


@pytest.mark.parametrize('content', ['{bad', '[]', '[' * 10**5])
def test_damaged_dataset_info_raises_a_user_error(content, tmp_path):
  folder = tmp_path / 'mnist' / '3.0.1'
  folder.mkdir(parents=True)
  (folder / 'dataset_info.json').write_text(content)
  with pytest.raises(UserError, match=r'dataset_info.json: damaged'):
    tfds_sets.check_prepared('mnist', str(tmp_path))


@pytest.mark.parametrize(
  'name', ['dataset_info.json', 'features.json', 'label.labels.txt', 'a-00000']
)
def test_pipes_in_a_dataset_are_refused(name, tmp_path):
  folder = tmp_path / 'mnist' / '3.0.1'
  folder.mkdir(parents=True)
  info = folder / 'dataset_info.json'
  info.write_text('{"fileFormat": "array_record"}')
  (folder / name).unlink(missing_ok=True)
  os.mkfifo(folder / name)
  with pytest.raises(UserError, match=f'{name}: is not a regular file'):
    data.load_test('mnist', data_dir=str(tmp_path))


def test_other_file_formats_are_refused(tmp_path):
  folder = tmp_path / 'mnist' / '3.0.1'
  folder.mkdir(parents=True)
  (folder / 'dataset_info.json').write_text('{"fileFormat": "tfrecord"}')
  with pytest.raises(UserError, match='not in the array_record format'):
    tfds_sets.check_prepared('mnist', str(tmp_path))


def test_data_dir_defaults_to_the_environment_then_to_the_home_folder(
  monkeypatch,
):
  monkeypatch.setenv('TFDS_DATA_DIR', '/some/where')
  assert tfds_sets.data_dir_or_default('') == pathlib.Path('/some/where')
  assert tfds_sets.data_dir_or_default('/a') == pathlib.Path('/a')
  monkeypatch.delenv('TFDS_DATA_DIR')
  default = pathlib.Path.home() / 'tensorflow_datasets'
  assert tfds_sets.data_dir_or_default('') == default


@pytest.mark.parametrize('name', ['../mnist', 'mnist/../..', 'a b', '/etc'])
def test_paths_are_not_dataset_names(name):
  assert not tfds_sets.is_known(name)


def test_prepare_without_tensorflow_names_the_extra(monkeypatch, tmp_path):
  import sys

  monkeypatch.setitem(sys.modules, 'tensorflow', None)
  with pytest.raises(UserError, match=r'needs the extra `prepare`'):
    data.prepare('mnist', str(tmp_path), '')
