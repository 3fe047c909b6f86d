"""Folders of image files, and what is done to images."""

import sys

import numpy as np
import pytest
from PIL import Image

from vae_jax import data
from vae_jax.data import pictures
from vae_jax.data.transform import (
  AS_STORED,
  Transform,
  resize,
  transform_batch,
)
from vae_jax.errors import UserError

BYTES = np.random.RandomState(0).randint(0, 256, (24, 6, 5, 3), np.uint8)


def save(folder, images, suffix='.png', mode=None):
  """Saves images in two subfolders in turn."""
  for i, x in enumerate(images):
    path = folder / ('dog', 'cat')[i % 2] / f'{i:03d}{suffix}'
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(x)
    (image.convert(mode) if mode else image).save(path)


def read(folder, transform=AS_STORED):
  told = []
  return pictures.read_pictures(folder, transform, told.append), told


def whole(found):
  """Returns examples and labels in the order of their bytes."""
  x = np.concatenate([each.x for each in found.values()])
  labels = np.concatenate([each.labels for each in found.values()])
  order = np.lexsort(x.reshape(len(x), -1).T)
  return x[order], labels[order]


def test_subfolders_are_classes(tmp_path):
  save(tmp_path, BYTES)
  found, _ = read(tmp_path)
  x, labels = whole(found)
  order = np.lexsort(BYTES.reshape(24, -1).T)
  np.testing.assert_array_equal(x, BYTES[order])
  np.testing.assert_array_equal(labels, np.array(['dog', 'cat'] * 12)[order])
  train, _ = data.load_train(str(tmp_path), num_validation=3)
  assert train.x.shape == (18, 6, 5, 3)


def test_subfolders_may_be_splits(tmp_path):
  for name, some in (
    ('train', slice(12)),
    ('val', slice(12, 16)),
    ('test', slice(16, 24)),
  ):
    save(tmp_path / name, BYTES[some])
  found, _ = read(tmp_path)
  assert {k: len(x.x) for k, x in found.items()} == {
    'train': 12,
    'test': 8,
    'validation': 4,
  }
  assert set(found['test'].labels) == {'cat', 'dog'}


def test_images_without_subfolders_have_no_labels(tmp_path):
  save(tmp_path / 'a', BYTES)
  found, _ = read(tmp_path / 'a' / 'cat')
  assert found['train'].labels is None
  (tmp_path / 'a' / 'b.png').write_bytes(
    (tmp_path / 'a/cat/001.png').read_bytes()
  )
  with pytest.raises(UserError, match='images beside subfolders'):
    read(tmp_path / 'a')


def test_grey_images_have_one_channel(tmp_path):
  grey = BYTES[..., 0]
  for mode, suffix in (('L', '.png'), ('P', '.png'), ('LA', '.png')):
    save(tmp_path / mode, grey, suffix, mode)
    found, told = read(tmp_path / mode)
    x, _ = whole(found)
    assert x.shape == (24, 6, 5, 1)
    np.testing.assert_array_equal(np.sort(x, None), np.sort(grey, None))
    assert any('alpha' in line for line in told) == (mode == 'LA')
  save(tmp_path / 'deep', grey.astype(np.uint16) * 257)
  found, told = read(tmp_path / 'deep')
  np.testing.assert_array_equal(
    np.sort(whole(found)[0], None), np.sort(grey, None)
  )
  assert 'rounded to 8 bits' in told[-1]
  small, _ = read(tmp_path / 'deep', Transform(resize=(3, 2)))
  assert small['train'].x.shape[1:] == (3, 2, 1)


def test_jpeg_is_read(tmp_path):
  save(tmp_path, np.full((14, 8, 8), 200, np.uint8), '.JPG')
  x, _ = whole(read(tmp_path)[0])
  assert np.all(np.abs(x.astype(int) - 200) < 3)


def test_images_of_many_sizes_need_one(tmp_path):
  save(tmp_path, [BYTES[0], *[BYTES[1][:4]] * 15])
  with pytest.raises(UserError, match='Use --resize=') as error:
    read(tmp_path)
  assert '\n' not in str(error.value)
  found, _ = read(tmp_path, Transform(resize=(4, 4)))
  assert found['train'].x.shape[1:] == (4, 4, 3)


BROKEN = {
  'text': b'no image',
  'gif': b'GIF89a\x01\x00\x01\x00\x00\x00\x00;',
  'header only': b'\x89PNG\r\n\x1a\n',
}


@pytest.mark.parametrize('name', [*BROKEN, 'half'])
def test_damaged_images_are_one_line(name, tmp_path):
  save(tmp_path, BYTES)
  path = tmp_path / 'cat' / '001.png'
  path.write_bytes(BROKEN.get(name) or path.read_bytes()[:-80])
  with pytest.raises(UserError, match=r'001\.png: cannot be read') as error:
    read(tmp_path)
  assert '\n' not in str(error.value)


def test_images_of_huge_size_are_not_unpacked(tmp_path, monkeypatch):
  save(tmp_path, BYTES)
  monkeypatch.setattr(pictures, '_MAX_PIXELS', 29)
  with pytest.raises(UserError, match='got an image of 5 x 6'):
    read(tmp_path)


def test_missing_pillow_is_said(tmp_path, monkeypatch):
  save(tmp_path, BYTES)
  monkeypatch.setitem(sys.modules, 'PIL', None)
  with pytest.raises(
    UserError, match=r'PIL: got no such library, .*experiments'
  ):
    read(tmp_path)


def test_empty_folders_and_shards_are_not_images(tmp_path):
  assert not pictures.holds_pictures(tmp_path)
  with pytest.raises(UserError, match='got no image'):
    read(tmp_path)
  save(tmp_path, BYTES[:1])
  assert pictures.holds_pictures(tmp_path)


@pytest.mark.parametrize('dtype', [np.uint8, np.float32, np.uint16])
def test_resized_images_keep_means_and_ranges(dtype):
  x = np.zeros((3, 8, 8, 2), dtype)
  x[:, :, 4:, 0] = 200
  small = resize(x, 4, 2)
  assert (small.shape, small.dtype) == ((3, 4, 2, 2), dtype)
  # The antialiasing filter of half the width reaches over the edge.
  np.testing.assert_allclose(small[..., 0].mean(), 100, rtol=0.02)
  assert small[0, 0, 1, 0] > 150 > 50 > small[0, 0, 0, 0]
  np.testing.assert_array_equal(small[..., 1], 0)
  np.testing.assert_array_equal(resize(np.full_like(x, 7), 5, 3), 7)
  ones = resize(np.ones((1, 9, 7), np.float32), 5, 3)
  assert ones.max() <= 1


def test_inversion_is_its_own_inverse():
  kwargs = {'num_validation': 5}
  plain, _ = data.load_train('digits', **kwargs)
  other, _ = data.load_train(
    'digits', **kwargs, transform=Transform(invert=True)
  )
  np.testing.assert_array_equal(other.x, 255 - plain.x)
  np.testing.assert_array_equal(other.labels, plain.labels)


def test_images_on_disk_are_changed_when_they_are_read(tmp_path):
  for part in ('train', 'test'):
    np.save(tmp_path / f'{part}-00000.npy', BYTES)
  transform = Transform(resize=(3, 4), invert=True)
  pair = [
    data.load_train(
      str(tmp_path), num_validation=2, stream=stream, transform=transform
    )[0]
    for stream in ('always', 'never')
  ]
  assert isinstance(pair[0].x, data.Streamed)
  np.testing.assert_array_equal(pair[0].x[:], pair[1].x)
  assert data.digest(pair[0]) == data.digest(pair[1])
  exact = 255 - resize(BYTES, 3, 4)
  rows = {x.tobytes() for x in exact}
  assert {x.tobytes() for x in pair[1].x} <= rows


def test_a_batch_is_changed_as_the_file_was():
  rows = BYTES[..., 0].reshape(24, 30)
  transform = Transform((6, 5), (3, 3), invert=True)
  found = transform_batch(rows, transform)
  exact = 255 - resize(BYTES[..., :1], 3, 3)
  np.testing.assert_array_equal(found, exact)
  np.testing.assert_array_equal(
    transform_batch(BYTES[..., :1], transform), exact
  )
