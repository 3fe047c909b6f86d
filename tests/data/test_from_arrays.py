"""Arrays of any dtype and shape: what becomes of their numbers, and words."""

import numpy as np
import pytest

from vae_jax import data
from vae_jax.data import csv_table, local, numbers
from vae_jax.data.from_arrays import from_arrays
from vae_jax.data.transform import AS_STORED, Transform
from vae_jax.errors import UserError

BYTES = np.random.RandomState(0).randint(0, 256, (20, 6, 5), np.uint8)
BYTES[0, 0, :2] = 0, 255
REALS = np.random.RandomState(1).normal(size=(20, 6, 5))
EXAMPLES = {
  'uint8': (BYTES, ''),
  'int64': (BYTES.astype(int), 'int64 of whole numbers from 0 to 255'),
  'whole floats': (BYTES.astype(np.float32), 'taken as 8-bit pixels'),
  'float64 levels': (BYTES / 255, 'all multiples of 1/255'),
  'float32 levels': ((BYTES / 255).astype(np.float32), 'multiples of 1/255'),
  'float16 levels': ((BYTES / 255).astype(np.float16), 'multiples of 1/255'),
  'uint16': (BYTES.astype(np.uint16) * 257, 'rounded to 8 bits, v / 257'),
  'rounded uint16': (
    BYTES.astype(np.uint16) * 257 + (BYTES < 255) * np.uint16(99),
    '257',
  ),
  'channels': (np.repeat(BYTES[..., None], 3, axis=-1), ''),
}


def read(tmp_path, transform=AS_STORED, **arrays):
  """Returns the splits of a file, and the sentences."""
  np.savez(tmp_path / 'a.npz', **arrays)
  told = []
  return local.read_npz(tmp_path / 'a.npz', transform, told.append), told


@pytest.mark.parametrize('name', EXAMPLES)
def test_pixels_of_any_dtype_are_the_same(name, tmp_path):
  x, words = EXAMPLES[name]
  found, told = read(tmp_path, train_images=x, test_images=x[:3])
  assert found['train'].x.dtype == np.uint8
  np.testing.assert_array_equal(found['train'].x[..., 0], BYTES)
  np.testing.assert_array_equal(found['test'].x[..., 0], BYTES[:3])
  assert len(told) == bool(words)
  assert words in ''.join(told)


@pytest.mark.parametrize('dtype', [bool, np.uint8, int, np.float32])
def test_zeros_and_ones_are_black_and_white(dtype, tmp_path):
  x = (BYTES > 99).astype(dtype)
  found, told = read(tmp_path, train_images=x, test_images=x)
  np.testing.assert_array_equal(found['train'].x[..., 0], 255 * (BYTES > 99))
  assert all('taken as zeros and ones' in words for words in told)
  if dtype is not np.float32:
    rows = x.reshape(20, 30)
    table, _ = read(tmp_path, train_images=rows, test_images=rows)
    np.testing.assert_array_equal(table['train'].x, 255 * (rows > 0))


@pytest.mark.parametrize(
  'x', [REALS, REALS.astype(np.float32), np.abs(REALS) / 9]
)
def test_real_images_stay_real_numbers(x, tmp_path):
  found, told = read(tmp_path, train_images=x, test_images=x)
  assert found['train'].x.dtype == np.float32
  np.testing.assert_allclose(found['train'].x[..., 0], x, rtol=1e-6)
  assert 'taken as real numbers, from' in told[0]


@pytest.mark.parametrize('dtype', [np.uint8, np.int16, np.float64])
def test_rows_are_a_table_unless_their_shape_is_given(dtype, tmp_path):
  rows = BYTES.reshape(20, 30).astype(dtype)
  found, told = read(tmp_path, x_train=rows, x_test=rows)
  assert found['train'].x.dtype == np.float32
  np.testing.assert_array_equal(found['train'].x, rows)
  assert 'of 30 columns: taken as real numbers' in told[0]
  for shape in ((6, 5), (6, 5, 1), (2, 5, 3)):
    images, _ = read(tmp_path, Transform(shape), x_train=rows, x_test=rows)
    assert images['train'].x.dtype == np.uint8
    exact = rows.reshape(20, *(*shape, 1)[:3])
    np.testing.assert_array_equal(images['train'].x, exact)


@pytest.mark.parametrize(
  ('x', 'message'),
  [
    (REALS.astype(complex), 'dtype complex128'),
    (BYTES.astype(str), 'dtype <U'),
    (BYTES[0, 0], r'shape \(5,\)'),
    (BYTES[:0], r'shape \(0, 6, 5\)'),
    (BYTES.astype(int) - 1, 'int64 from -1 to 254, expected images from 0'),
    (BYTES.astype(int) * 2, 'from 0 to 510, expected images'),
    (np.where(REALS > 2, np.inf, REALS), 'that are infinite'),
    (np.full_like(REALS, np.nan), 'are all NaN'),
    (REALS * 1e39, 'the largest of float32'),
    (np.full((20, 3), 2**24 + 1), 'exact in float32'),
  ],
)
def test_other_numbers_are_refused(x, message):
  with pytest.raises(UserError, match=message) as error:
    numbers.judge('a', {'images': x})
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('train', 'test', 'message'),
  [
    (BYTES / 255, BYTES.astype(float), 'test_images have numbers up to 255'),
    (BYTES / 255, BYTES, 'expected one kind of number'),
    (REALS, REALS[:, :3], 'have the size'),
    (REALS.reshape(20, 30), REALS.reshape(10, 60), 'have shape .10, 60.'),
  ],
)
def test_splits_of_other_kinds_are_refused(train, test, message):
  with pytest.raises(UserError, match=message):
    from_arrays(
      'a', {'train': (train, None), 'test': (test, None)}, AS_STORED, print
    )


def test_numbers_are_judged_in_parts(monkeypatch):
  monkeypatch.setattr(numbers, '_CHUNK', 50)
  judged = numbers.judge('a', {'images': BYTES / 255})
  np.testing.assert_array_equal(judged.arrays['images'], BYTES)
  x = BYTES / 255
  x[-1, -1, -1] = 0.5001
  assert numbers.judge('a', {'images': x}).arrays['images'].dtype == np.float32


def test_labels_of_every_form_are_the_same(tmp_path):
  labels = np.arange(20) % 4
  names = np.array(['cat', 'dog', 'eel', 'fox'])
  for own in (
    labels,
    labels[:, None],
    np.eye(4)[labels],
    np.eye(4, dtype=bool)[labels],
  ):
    found, _ = read(
      tmp_path, x_train=BYTES, x_test=BYTES, y_train=own, y_test=own
    )
    np.testing.assert_array_equal(found['train'].labels, labels)
  found, _ = read(
    tmp_path, train_images=BYTES, test_images=BYTES, test_labels=names[labels]
  )
  np.testing.assert_array_equal(found['test'].labels, names[labels])
  for bad in (np.ones((20, 4)), np.zeros((20, 4)), np.eye(4)[labels] * 2):
    with pytest.raises(UserError, match='one-hot rows with a single 1'):
      read(tmp_path, images=BYTES, labels=bad)


def test_keras_names_keep_their_split(tmp_path):
  found, _ = read(
    tmp_path, x_train=BYTES[:12], x_val=BYTES[12:15], x_test=BYTES[15:]
  )
  assert {k: len(x.x) for k, x in found.items()} == {
    'train': 12,
    'validation': 3,
    'test': 5,
  }
  whole, _ = read(tmp_path, x=BYTES)
  assert len(whole['train'].x) + len(whole['test'].x) == 20


def test_fewer_than_a_dozen_in_all_splits_are_refused(tmp_path):
  with pytest.raises(UserError, match='has 11 examples in all splits'):
    read(tmp_path, x_train=BYTES[:10], x_test=BYTES[:1])


@pytest.mark.parametrize('end', ['a.npy', 'a.npz'])
def test_digest_covers_real_numbers_and_what_is_done_to_them(end, tmp_path):
  path = str(tmp_path / end)
  save = np.save if end == 'a.npy' else lambda p, x: np.savez(p, x=x)
  digests = set()
  changed = REALS.copy()
  changed[3, 0, 0] += 1e-3
  for x in (REALS, REALS, changed):
    save(path, x)
    digests.add(data.digest(data.load_test(path)))
    digests.add(data.digest(data.load_train(path, num_validation=1)[0]))
  assert len(digests) in (3, 4)  # The changed number is in one split.
  save(path, BYTES)
  for transform in (
    AS_STORED,
    Transform(resize=(3, 3)),
    Transform(invert=True),
  ):
    digests.add(data.digest(data.load_test(path, transform=transform)))
  assert len(digests) in (6, 7)


def csv(tmp_path, text, transform=AS_STORED):
  (tmp_path / 'a.csv').write_text(text)
  told = []
  found = csv_table.read_csv(tmp_path / 'a.csv', transform, told.append)
  return found, told


def rows(count, make):
  return ''.join(make(i) + '\n' for i in range(count))


def test_csv_has_a_header_and_labels(tmp_path):
  text = 'a,class,b\n' + rows(20, lambda i: f'{i},c{i % 3},-{i}.5')
  found, told = csv(tmp_path, text)
  x = np.concatenate([found['train'].x, found['test'].x])
  labels = np.concatenate([found['train'].labels, found['test'].labels])
  assert sorted(x[:, 0]) == [*range(20)]
  np.testing.assert_array_equal(x[:, 1], -x[:, 0] - 0.5)
  assert all(
    y == f'c{int(i) % 3}' for i, y in zip(x[:, 0], labels, strict=True)
  )
  assert "the first line is a header; labels are the column 'class'" in told[0]
  plain, told = csv(tmp_path, rows(20, lambda i: f'{i},1e-3'))
  assert plain['train'].labels is None
  assert len(plain['train'].x) + len(plain['test'].x) == 20
  assert not any('is a header' in line for line in told)


def test_csv_of_pixels_is_of_images(tmp_path):
  text = 'label,p0,p1,p2,p3\n' + rows(20, lambda i: f'{i % 2},0,9,{i},255')
  found, _ = csv(tmp_path, text, Transform((2, 2)))
  assert found['train'].x.shape == (17, 2, 2, 1)
  assert found['train'].x.dtype == np.uint8
  assert found['train'].labels.dtype.kind == 'i'


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', 'got an empty file'),
    ('a,b\n', 'got no number'),
    ('label\n1\n', 'got no number'),
    ('1,2\n3\n', 'got 1 columns in line 2, expected 2'),
    ('1,2\n3,\n', "got '' in line 2, column 2"),
    ('1,2\n3,1_0\n', "got '1_0' in line 2"),
    ('cat,2\ndog,3\n', "got 'cat' among numbers in the first line"),
    ('label,class,a\n1,2,3\n', 'got 2 columns of labels'),
    ('"1,2\n3', 'not a table'),
    ('a,b\n' + '1,2\n' * 11, 'has 11 images'),
    ('1,inf\n' * 20, 'that are infinite'),
  ],
)
def test_other_csv_is_refused_with_the_place(text, message, tmp_path):
  with pytest.raises(UserError, match=message) as error:
    csv(tmp_path, text)
  assert '\n' not in str(error.value)
  (tmp_path / 'a.csv').write_bytes(b'\xff\xfe\x00,\x80')
  with pytest.raises(UserError, match='not a table'):
    csv_table.read_csv(tmp_path / 'a.csv', AS_STORED, print)


@pytest.mark.parametrize('x', [BYTES / 255, BYTES.astype(float), REALS])
def test_images_with_missing_numbers_stay_real(x):
  holes = x.copy()
  holes[1, 2, 3] = np.nan
  found = numbers.judge('a', {'train_images': holes, 'test_images': x})
  assert found.words[0].endswith('NaN where missing')
  for name, own in (('train_images', holes), ('test_images', x)):
    assert found.arrays[name].dtype == np.float32
    np.testing.assert_array_equal(found.arrays[name], own.astype(np.float32))


def test_conditions_and_masks_keep_the_row_of_their_example(tmp_path):
  rows = BYTES.reshape(20, 30)
  labels, y = np.arange(20), np.arange(20) / 7
  arrays = {'mask': rows > 50, 'labels': labels, 'y': y}
  found, _ = read(tmp_path, Transform((6, 5)), images=rows, **arrays)
  for split in found.values():
    np.testing.assert_array_equal(split.mask, split.x > 50)
    np.testing.assert_array_equal(split.y, split.labels / 7)
  found, _ = read(tmp_path, counts=rows, **arrays)
  for split in found.values():
    np.testing.assert_array_equal(split.mask, split.x > 50)
    np.testing.assert_array_equal(split.y, split.labels / 7)


def test_y_train_is_labels_and_train_y_a_condition(tmp_path):
  found, _ = read(
    tmp_path,
    x_train=BYTES,
    y_train=np.arange(20),
    train_y=np.arange(20) / 7,
    x_test=BYTES[:3],
    y_test=np.arange(3),
    test_y=np.arange(3) / 7,
  )
  np.testing.assert_array_equal(found['test'].labels, np.arange(3))
  np.testing.assert_array_equal(found['test'].y, np.arange(3) / 7)


@pytest.mark.parametrize('holes', ['mask', 'nan'])
def test_images_with_missing_numbers_are_not_resized(holes, tmp_path):
  x, more = REALS.copy(), {}
  if holes == 'nan':
    x[0, 0, 0] = np.nan
  else:
    more = {'mask': REALS > 0}
  np.savez(tmp_path / 'a.npz', images=x, **more)
  with pytest.raises(UserError, match=r'--resize: got .*missing data'):
    data.load_train(
      str(tmp_path / 'a.npz'),
      num_validation=2,
      transform=Transform(resize=(3, 3)),
    )
