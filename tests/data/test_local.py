import io
import zipfile

import numpy as np
import pytest

from vae_jax.data import local
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
  np.savez(path, pictures=IMAGES)
  with pytest.raises(UserError, match="has neither an array 'images'"):
    local.read_npz(path)


def test_frey_faces_are_read(real_data):
  splits = local.read_npz(real_data / 'npz' / 'frey_faces.npz')
  assert splits['train'].x.shape[1:] == (28, 20, 1)
  assert sum(len(split.x) for split in splits.values()) == 1965
