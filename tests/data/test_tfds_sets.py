import pathlib
import shutil

import numpy as np
import pytest

import vae_jax as vj
from vae_jax import data
from vae_jax.data import tfds_sets
from vae_jax.errors import UserError

SHAPES = {
  'mnist': (28, 28, 1),
  'fashion_mnist': (28, 28, 1),
  'binarized_mnist': (28, 28, 1),
  'omniglot': (105, 105, 1),
}


@pytest.mark.parametrize('name', ['mnist', 'fashion_mnist'])
def test_test_splits_are_the_published_ones(name, real_data):
  test = data.load_test(name, data_dir=str(real_data / 'tfds'))
  assert test.images.shape == (10_000, 28, 28, 1)
  assert test.images.dtype == np.uint8
  mean = {'mnist': 0.132515, 'fashion_mnist': 0.286849}[name]
  np.testing.assert_allclose(test.images.mean() / 255, mean, atol=1e-6)
  assert len(test.labels) == 10_000


def test_validation_is_cut_from_train_the_same_way_every_time(real_data):
  folder = str(real_data / 'tfds')
  options = {'data_dir': folder, 'num_validation': 1000}
  train, validation = data.load_train('mnist', **options)
  assert len(train.images) == 59_000
  assert len(validation.images) == 1000
  total = train.images.sum(dtype=np.int64) + validation.images.sum(
    dtype=np.int64
  )
  exact = 0.130660 * 255 * 60_000 * 784
  np.testing.assert_allclose(total, exact, rtol=1e-5)


def test_binarized_mnist_has_its_own_validation_and_no_grey(real_data):
  folder = str(real_data / 'tfds')
  train, validation = data.load_train(
    'binarized_mnist', data_dir=folder, num_validation=7
  )
  assert len(train.images) == 50_000
  assert len(validation.images) == 10_000
  data.make_prepare(vj.Config(binarisation='none'), train.images)
  np.testing.assert_allclose(
    validation.images.mean() / 255, 0.131127, atol=1e-6
  )


@pytest.mark.slow
def test_omniglot_is_read_as_grey(real_data):
  test = data.load_test('omniglot', data_dir=str(real_data / 'tfds'))
  assert test.images.shape == (13_180, 105, 105, 1)
  np.testing.assert_allclose(test.images.mean() / 255, 0.915716, atol=1e-6)


def copy_of_mnist(real_data, tmp_path):
  source = real_data / 'tfds' / 'mnist'
  target = tmp_path / 'mnist'
  shutil.copytree(source, target, copy_function=shutil.copyfile)
  for path in [tmp_path, *tmp_path.rglob('*')]:
    path.chmod(0o755 if path.is_dir() else 0o644)
  return next(target.glob('*'))


def flip(content):
  content = bytearray(content)
  content[len(content) // 2] ^= 1
  return bytes(content)


@pytest.mark.parametrize(
  'damage',
  [flip, lambda x: x[: len(x) // 2], lambda x: b''],
  ids=['flipped bit', 'truncated', 'empty'],
)
def test_damaged_records_end_in_one_line(damage, real_data, tmp_path):
  folder = copy_of_mnist(real_data, tmp_path)
  path = next(folder.glob('mnist-test*'))
  path.write_bytes(damage(path.read_bytes()))
  with pytest.raises(UserError, match='may be damaged') as error:
    data.load_test('mnist', data_dir=str(tmp_path))
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('content', ['{bad', '[]', '[' * 10**5])
def test_damaged_dataset_info_ends_in_one_line(content, tmp_path):
  folder = tmp_path / 'mnist' / '3.0.1'
  folder.mkdir(parents=True)
  (folder / 'dataset_info.json').write_text(content)
  with pytest.raises(UserError, match=r'dataset_info.json: damaged'):
    tfds_sets.check_prepared('mnist', str(tmp_path))


def test_another_file_format_is_told(tmp_path):
  folder = tmp_path / 'mnist' / '3.0.1'
  folder.mkdir(parents=True)
  (folder / 'dataset_info.json').write_text('{"fileFormat": "tfrecord"}')
  with pytest.raises(UserError, match='not in the array_record format'):
    tfds_sets.check_prepared('mnist', str(tmp_path))


def test_data_dir_falls_back_to_the_environment(monkeypatch):
  monkeypatch.setenv('TFDS_DATA_DIR', '/some/where')
  assert tfds_sets.data_dir_or_default('') == pathlib.Path('/some/where')
  assert tfds_sets.data_dir_or_default('/a') == pathlib.Path('/a')
  monkeypatch.delenv('TFDS_DATA_DIR')
  default = pathlib.Path.home() / 'tensorflow_datasets'
  assert tfds_sets.data_dir_or_default('') == default


@pytest.mark.parametrize('name', ['../mnist', 'mnist/../..', 'a b', '/etc'])
def test_names_that_are_paths_are_unknown(name):
  assert not tfds_sets.is_known(name)


def test_preparing_without_tensorflow_says_how(monkeypatch, tmp_path):
  import sys

  monkeypatch.setitem(sys.modules, 'tensorflow', None)
  with pytest.raises(UserError, match=r'needs the extra `prepare`'):
    data.prepare('mnist', str(tmp_path), '')
