import io
import os
import zipfile

import numpy as np
import pytest

from vae_jax import data
from vae_jax.data import local, transform
from vae_jax.errors import UserError

IMAGES = np.random.RandomState(0).randint(0, 256, (40, 5, 4), np.uint8)


def test_digits_are_those_of_scikit_learn():
  splits = local.read_digits()
  train, test = splits['train'], splits['test']
  assert train.x.shape == (1527, 8, 8, 1)
  assert test.x.shape == (270, 8, 8, 1)
  assert set(test.labels) == set(range(10))
  counts = np.bincount(np.concatenate([train.labels, test.labels]))
  np.testing.assert_array_equal(
    counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
  )
  # 17 grey levels, scaled to the whole range.
  assert train.x.max() == 255
  assert len(np.unique(train.x)) == 17


def test_npz_with_images_and_labels_is_split(tmp_path):
  path = tmp_path / 'faces.npz'
  np.savez(path, images=IMAGES, labels=np.arange(40))
  splits = local.read_npz(path)
  assert splits['train'].x.shape == (34, 5, 4, 1)
  assert splits['test'].x.shape == (6, 5, 4, 1)
  index = splits['test'].labels
  np.testing.assert_array_equal(splits['test'].x[..., 0], IMAGES[index])


def test_npz_with_its_own_split_keeps_it(tmp_path):
  path = tmp_path / 'faces.npz'
  np.savez(path, train_images=IMAGES[:30], test_images=IMAGES[30:])
  splits = local.read_npz(path)
  np.testing.assert_array_equal(splits['test'].x[..., 0], IMAGES[30:])
  assert splits['train'].labels is None


def forged(member):
  """Returns an archive whose array of images has these bytes."""
  content = io.BytesIO()
  with zipfile.ZipFile(content, 'w') as archive:
    archive.writestr('images.npy', member)
  return content.getvalue()


# Header of an array of four terabytes.
HUGE = b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, "
HUGE += b"'shape': (2000000, 2000000)}".ljust(118 + 10 - len(HUGE) - 1) + b'\n'


def test_archives_larger_than_memory_are_not_unpacked(tmp_path, monkeypatch):
  path = tmp_path / 'faces.npz'
  np.savez_compressed(path, images=np.zeros((10**4, 8, 8), np.uint8))
  monkeypatch.setattr(local, 'physical_memory', lambda: 10**5)
  assert path.stat().st_size < 10**5
  with pytest.raises(
    UserError, match=r'unpacks to .* GiB, but this machine has'
  ):
    local.read_npz(path)


def test_damaged_files_raise_a_user_error(tmp_path):
  path = tmp_path / 'faces.npz'
  np.savez_compressed(path, images=IMAGES)
  good = path.read_bytes()
  flipped = bytearray(good)
  flipped[len(good) // 2] ^= 0xFF
  alone = io.BytesIO()
  np.save(alone, IMAGES)
  for bad in (
    *(good[: len(good) // 2], b'', b'not a zip', bytes(flipped)),
    *(alone.getvalue(), forged(b'\x93NUMPY\x01\x00'), forged(HUGE)),
  ):
    path.write_bytes(bad)
    with pytest.raises(UserError, match=r'faces\.npz: cannot be read'):
      local.read_npz(path)


def test_pickles_are_never_loaded(tmp_path):
  path = tmp_path / 'faces.npz'
  np.savez(path, images=np.array([print, print], object))
  with pytest.raises(UserError, match='cannot be read'):
    local.read_npz(path)


def test_archive_without_images_is_refused(tmp_path):
  path = tmp_path / 'faces.npz'
  np.savez(path, pictures=IMAGES, y=IMAGES)
  wanted = "has neither an array 'images' .*; it holds 'pictures', 'y'$"
  with pytest.raises(UserError, match=wanted):
    local.read_npz(path)


def npz(**arrays):
  content = io.BytesIO()
  np.savez(content, **arrays)
  return content.getvalue()


def npy(array):
  content = io.BytesIO()
  np.save(content, array)
  return content.getvalue()


def header(text, data=b''):
  """Returns an .npy array with this text as its header."""
  length = len(text).to_bytes(4, 'little')
  return b'\x93NUMPY\x02\x00' + length + text + data


def described(shape, descr=b'|u1'):
  return (
    b"{'descr': '" + descr + b"', 'fortran_order': False, 'shape': " + shape
  ) + b'}\n'


def compressed(method, edit=lambda content, start: content):
  """Returns an archive whose compressed images are edited in place."""
  content = io.BytesIO()
  with zipfile.ZipFile(content, 'w', method) as archive:
    archive.writestr('images.npy', npy(IMAGES))
    start = archive.getinfo('images.npy').header_offset + 60
  return edit(bytearray(content.getvalue()), start)


def flip(content, start):
  for place in range(start, start + 300, 7):
    content[place] ^= 0x5A
  return bytes(content)


def method(number):
  """Returns an edit that claims another compression in both headers."""

  def edit(content, start):
    content[8] = number
    content[content.rindex(b'PK\x01\x02') + 10] = number
    return bytes(content)

  return edit


def encrypted(content, start):
  content[6] |= 1
  content[content.rindex(b'PK\x01\x02') + 8] |= 1
  return bytes(content)


DAMAGED = {
  'raw bytes': forged(bytes(range(256)) * 9),
  'empty member': forged(b''),
  'no directory': npz(images=IMAGES)[:-22].split(b'PK\x01\x02')[0],
  'npy before a zip': npy(IMAGES) + npz(images=IMAGES),
  'zip behind text': b'text' + npz(images=IMAGES),
  'lzma': compressed(zipfile.ZIP_LZMA, flip),
  'bzip2': compressed(zipfile.ZIP_BZIP2, flip),
  'bzip2, undamaged': compressed(zipfile.ZIP_BZIP2),
  'deflate': compressed(zipfile.ZIP_DEFLATED, flip),
  'unknown compression': compressed(zipfile.ZIP_STORED, method(99)),
  'encrypted': compressed(zipfile.ZIP_STORED, encrypted),
  'deep brackets': forged(header(b'[' * 9000)),
  'deep minus': forged(header(b'-' * 9000 + b'1')),
  'long header': forged(header(b' ' * 10**6 + b'{}')),
  'long shape': forged(header(described(b'(' + b'9' * 4000 + b',)'))),
  'longer shape': forged(header(described(b'(' + b'9' * 5000 + b',)'))),
  'huge shape': forged(header(described(b'(9999999, 99999, 9999)'), b'1')),
  'long product': forged(
    header(described(b'(' + b'9' * 3000 + b',' + b'9' * 3000 + b')'))
  ),
  'many axes': forged(header(described(b'(' + b'1,' * 3000 + b')'), b'1')),
  'long negative': forged(header(described(b'(-' + b'9' * 3000 + b',)'))),
  'negative shape': forged(header(described(b'(-2, -2, 1)'), b'1234')),
  'more data': forged(header(described(b'(1, 1, 1)'), b'12345678')),
  'less data': forged(header(described(b'(2, 2, 2)'), b'1')),
  'pickle': forged(header(described(b'(1, 1, 1)', b'|O'), b'\x80\x04N.')),
  'no dtype': forged(header(described(b'(1, 1, 1)', b'<x9'), b'1')),
  'version 9': forged(b'\x93NUMPY\x09\x00' + bytes(99)),
  'half': npz(images=IMAGES)[:300],
}


@pytest.mark.parametrize('content', DAMAGED.values(), ids=DAMAGED)
def test_damaged_archives_are_one_line(content, tmp_path):
  path = tmp_path / 'faces.npz'
  path.write_bytes(content)
  with pytest.raises(UserError, match=r'faces\.npz: cannot be read') as error:
    local.read_npz(path)
  assert '\n' not in str(error.value)
  assert len(str(error.value)) < 500


@pytest.mark.parametrize(
  'shape',
  [
    *(b'9' * 4000 + b',', b'9' * 3000 + b',' + b'9' * 3000, b'9' * 5000 + b','),
    *(
      b'-' + b'9' * 4000 + b',',
      b'-2,',
      b'1,' * 3000,
      b'0,' * 65,
      b'4,-1,',
      b'',
    ),
  ],
  ids=lambda x: x[:9].decode(),
)
def test_npy_files_of_impossible_shapes_are_one_line(shape, tmp_path):
  """A product of 6000 digits is a number that Python refuses to print."""
  path = tmp_path / 'faces.npy'
  path.write_bytes(header(described(b'(' + shape + b')'), b'1'))
  with pytest.raises(UserError, match=r'faces\.npy: ') as error:
    local.read_npy(path, transform.AS_STORED, print)
  assert '\n' not in str(error.value)
  assert len(str(error.value)) < 500


@pytest.mark.parametrize('member', [b'', b'1,2,3\n', bytes(200)])
def test_labels_that_are_no_array_are_one_line(member, tmp_path):
  path = tmp_path / 'faces.npz'
  np.savez(path, images=IMAGES)
  with zipfile.ZipFile(path, 'a') as archive:
    archive.writestr('labels.npy', member)
  with pytest.raises(UserError, match=r'faces\.npz: cannot be read'):
    local.read_npz(path)


def test_pipes_and_folders_are_not_read(tmp_path):
  for name, make in (('pipe.npz', os.mkfifo), ('folder.npz', os.mkdir)):
    make(tmp_path / name)
    with pytest.raises(UserError, match=f'{name}: is not a regular file'):
      local.read_npz(tmp_path / name)


def read(tmp_path, **arrays):
  np.savez(tmp_path / 'a.npz', **arrays)
  return local.read_npz(tmp_path / 'a.npz')


def test_arrays_by_columns_are_read(tmp_path):
  by_columns = np.asfortranarray(IMAGES)
  splits = read(tmp_path, train_images=by_columns, test_images=IMAGES)
  np.testing.assert_array_equal(splits['train'].x, splits['test'].x)


@pytest.mark.parametrize('name', ['val', 'validation'])
def test_validation_images_are_a_split_of_their_own(name, tmp_path):
  """MedMNIST's files have val_images, and labels of shape [N, 1]."""
  count = np.arange(40)[:, None]
  parts = {'train': slice(0, 20), name: slice(20, 28), 'test': slice(28, 40)}
  arrays = {f'{k}_images': IMAGES[v] for k, v in parts.items()}
  arrays |= {f'{k}_labels': count[v] for k, v in parts.items()}
  splits = read(tmp_path, **arrays)
  assert sorted(splits) == ['test', 'train', 'validation']
  validation = splits['validation']
  np.testing.assert_array_equal(validation.x[..., 0], IMAGES[20:28])
  np.testing.assert_array_equal(validation.labels, count[20:28, 0])
  train, held_out = data.load_train(
    str(tmp_path / 'a.npz'), num_validation=1000
  )
  assert (len(train.x), len(held_out.x)) == (20, 8)


@pytest.mark.parametrize('first', [0, 1])
def test_class_names_are_those_of_the_labels(first, tmp_path):
  labels = np.arange(40) % 4 + first
  names = np.array(['cat', 'dog', '\ud800', 'caf\xe9'])
  read(tmp_path, images=IMAGES, labels=labels, class_names=names)
  found = data.class_names(str(tmp_path / 'a.npz'))
  assert found == [''] * first + ['cat', 'dog', '\\ud800', 'caf\xe9']


@pytest.mark.parametrize('names', [{}, {'class_names': np.arange(4)}])
def test_files_without_class_names_have_none(names, tmp_path):
  read(tmp_path, images=IMAGES, **names)
  assert data.class_names(str(tmp_path / 'a.npz')) == []


@pytest.mark.parametrize('count', [1, 5, 11])
def test_too_few_images_are_counted_as_in_the_file(count, tmp_path):
  wanted = f'has {count} images, too few .* at least 12'
  with pytest.raises(UserError, match=wanted):
    read(tmp_path, images=IMAGES[:count])


def test_twelve_images_are_enough(tmp_path):
  read(tmp_path, images=IMAGES[:12])
  parts = data.load_train(str(tmp_path / 'a.npz'), num_validation=9)
  test = data.load_test(str(tmp_path / 'a.npz'))
  assert [len(part.x) for part in (*parts, test)] == [9, 1, 2]


def test_too_few_training_images_of_a_split_are_counted(tmp_path):
  read(tmp_path, train_images=IMAGES[:9], test_images=IMAGES[9:])
  with pytest.raises(UserError, match=r'has 9 training images, .* least 10'):
    data.load_train(str(tmp_path / 'a.npz'), num_validation=1)


def test_frey_faces_are_read(real_data):
  splits = local.read_npz(real_data / 'npz' / 'frey_faces.npz')
  assert splits['train'].x.shape[1:] == (28, 20, 1)
  assert sum(len(split.x) for split in splits.values()) == 1965
