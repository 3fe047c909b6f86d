"""Folders of .npy shards: reading by row, and every fault by its file."""

import os

import numpy as np
import pytest

from vae_jax import data
from vae_jax.data import memory, npy, shards, split
from vae_jax.errors import ReadError, UserError

IMAGES = np.random.RandomState(0).randint(0, 256, (40, 3, 2), np.uint8)
LABELS = np.arange(40) % 7
COUNTS = (9, 1, 20)  # Of the training shards; ten images are left for test.


@pytest.fixture
def folder(tmp_path):
  """A folder of three training shards and one of test images."""
  for number, part in enumerate(np.split(np.arange(30), np.cumsum(COUNTS))[:3]):
    np.save(tmp_path / f'train-{number:05d}.npy', IMAGES[part])
    np.save(tmp_path / f'train_labels-{number:05d}.npy', LABELS[part])
  np.save(tmp_path / 'test-0.npy', IMAGES[30:])
  return tmp_path


def opened(folder):
  return shards.read_folder(folder, ('train',), 'always')['train'].x


def test_folder_has_the_images_and_labels_of_its_shards(folder):
  whole = split.make_split('x', IMAGES[:30], LABELS[:30])
  train, validation = split.cut('x', whole, 3)
  for stream in ('never', 'always'):
    options = {'num_validation': 7, 'stream': stream}
    found, held_out = data.load_train(str(folder), **options)
    assert isinstance(found.x, data.Streamed) == (stream == 'always')
    found = data.in_memory('train', found)
    for one, other in ((found, train), (held_out, validation)):
      np.testing.assert_array_equal(one.x, other.x)
      np.testing.assert_array_equal(one.labels, other.labels)
    test = data.load_test(str(folder), stream=stream)
    np.testing.assert_array_equal(test.x[..., 0], IMAGES[30:])
    assert test.labels is None


def test_own_validation_split_is_taken(folder):
  np.save(folder / 'validation-00.npy', IMAGES[:5])
  train, validation = data.load_train(
    str(folder), num_validation=1, stream='always'
  )
  assert len(train.x) == 30
  np.testing.assert_array_equal(validation.x[..., 0], IMAGES[:5])


@pytest.mark.parametrize(('gap', 'most'), [(0, 1), (0, 20), (12, 60), (99, 99)])
def test_rows_are_read_in_any_order(gap, most, folder, monkeypatch):
  monkeypatch.setattr(npy, '_MAX_GAP', gap)
  monkeypatch.setattr(npy, '_MAX_READ', most)
  x, random = opened(folder), np.random.RandomState(1)
  for rows in (
    np.arange(30),
    random.permutation(30),
    random.randint(0, 30, 50),
    np.array([], np.int64),
    np.array([29, 0, 9], np.int32),
  ):
    np.testing.assert_array_equal(x[rows][..., 0], IMAGES[rows])
  np.testing.assert_array_equal(x[8:11][..., 0], IMAGES[8:11])
  few = x.take(np.array([20, 3, 9])).take(np.array([2, 0]))
  np.testing.assert_array_equal(few[0:2][..., 0], IMAGES[[9, 20]])
  np.testing.assert_array_equal(few.read(slice(0, 2)).labels, LABELS[[9, 20]])


def test_scale_and_channels_are_judged_on_disk_too(folder):
  for path in folder.glob('t*-*.npy'):
    if 'labels' not in path.name:
      two = (np.load(path) > 99).astype(np.uint8)
      np.save(path, np.repeat(two[..., None], 3, axis=-1))
  x = opened(folder)
  assert x.shape == (30, 3, 2, 1)
  expected = 255 * (IMAGES[:30, ..., None] > 99)
  np.testing.assert_array_equal(x[:30], expected)


def test_auto_streams_above_a_quarter_of_the_memory(folder, monkeypatch):
  for available, streamed in ((4 * 180, False), (4 * 180 - 1, True)):
    monkeypatch.setattr(memory, 'physical_memory', lambda n=available: n)
    found, _ = data.load_train(str(folder), num_validation=1, stream='auto')
    assert isinstance(found.x, data.Streamed) == streamed


def test_set_larger_than_the_memory_is_refused(folder, monkeypatch):
  monkeypatch.setattr(memory, 'physical_memory', lambda: 100)
  with pytest.raises(UserError, match=r'--stream=never: got .* GiB of arrays'):
    data.load_train(str(folder), num_validation=1)


@pytest.mark.parametrize('name', ['digits', 'linear_gaussian', 'a.npz'])
def test_data_in_memory_are_not_streamed(name, inside):
  np.savez('a.npz', images=IMAGES)
  with pytest.raises(UserError, match=f'--stream=always: got --dataset={name}'):
    data.load_train(name, num_validation=1, stream='always')


def remove(path):
  path.unlink()


def pipe(path):
  path.unlink()
  os.mkfifo(path)


def save(change):
  return lambda path: np.save(path, change(np.load(path)), allow_pickle=True)


def rename(name):
  return lambda path: path.rename(path.parent / name)


def content(change):
  return lambda path: path.write_bytes(change(path.read_bytes()))


FAULTS = {
  'missing': ('train-00001.npy', remove, '{}: missing'),
  'first': ('train-00000.npy', remove, '{}: missing'),
  'no test': ('test-0.npy', remove, 'test-00000.npy: missing'),
  'of': (
    'train-00002.npy',
    rename('train-00002-of-00004.npy'),
    'train-00003-of-00004.npy: missing',
  ),
  'twice': ('train-00001.npy', rename('train-0.npy'), 'train-00000.npy: has t'),
  'name': (
    'train-00001.npy',
    rename('trian-00001.npy'),
    'trian-00001.npy: got',
  ),
  'labels only': (
    'train_labels-00002.npy',
    rename('validation_labels-00000.npy'),
    'validation_labels-00000.npy: has labels',
  ),
  'labels missing': (
    'train_labels-00002.npy',
    remove,
    'train-00002.npy: got 2',
  ),
  'labels length': (
    'train_labels-00002.npy',
    save(lambda x: x[:-1]),
    r'{}: labels have shape \(19,\)',
  ),
  'shape': (
    'train-00001.npy',
    save(lambda x: x[:, :2]),
    r'{}: got dtype uint8 and shape \(1, 2, 2\)',
  ),
  'dtype': (
    'train-00001.npy',
    save(lambda x: x / 255),
    '{}: got dtype float64',
  ),
  'objects': (
    'train-00001.npy',
    save(lambda x: x.astype(object)),
    '{}: got obj',
  ),
  'scalar': ('train-00001.npy', save(lambda x: np.uint8(1)), '{}: got uint8'),
  'columns': (
    'train-00002.npy',
    save(np.asfortranarray),
    '{}: got an array by',
  ),
  'truncated': (
    'train-00002.npy',
    content(lambda x: x[:-1]),
    '{}: got 247 byt',
  ),
  'longer': (
    'train-00002.npy',
    content(lambda x: x + b'0'),
    '{}: got 249 byte',
  ),
  'empty': ('train-00001.npy', content(lambda x: b''), '{}: damaged'),
  'header': (
    'train-00001.npy',
    content(lambda x: x[:20] + x[21:]),
    '{}: damag',
  ),
  'pipe': ('train-00001.npy', pipe, '{}: is not a regular file'),
}


@pytest.mark.parametrize(
  ('name', 'damage', 'wanted'), FAULTS.values(), ids=FAULTS
)
def test_fault_is_named_before_training(name, damage, wanted, folder):
  damage(folder / name)
  with pytest.raises(UserError, match=wanted.format(name)) as error:
    data.load_train(str(folder), num_validation=1, stream='always')
  assert str(folder) in str(error.value)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('damage', 'wanted'),
  [
    (remove, r'cannot be read \(No such file'),
    (content(lambda x: x[:-1]), 'has changed'),
    (content(lambda x: b''), 'has changed'),
    (lambda path: os.utime(path, (1, 1)), 'has changed'),
  ],
  ids=['removed', 'truncated', 'empty', 'replaced'],
)
def test_fault_is_named_when_a_row_is_read(damage, wanted, folder):
  x = opened(folder)
  damage(folder / 'train-00002.npy')
  assert x[0:10].shape == (10, 3, 2, 1)
  with pytest.raises(ReadError, match=f'train-00002.npy: {wanted}') as error:
    x[5:29]
  assert '\n' not in str(error.value)


def test_folder_without_shards_or_that_is_missing_is_refused(inside):
  (inside / 'here').mkdir()
  with pytest.raises(UserError, match=r'here/train-00000\.npy: missing'):
    data.check_exists('./here')
  with pytest.raises(UserError, match=r'--dataset=\./there/: no such folder'):
    data.check_exists('./there/')


def test_name_of_a_tfds_set_is_not_a_folder(inside):
  (inside / 'mnist').mkdir()
  with pytest.raises(UserError, match='not prepared'):
    data.check_exists('mnist', str(inside))
