"""The file of compressed examples."""

import numpy as np
import pytest

from vae_jax.errors import UserError
from vae_jax.runs.compress import container

FOUND = container.Container(
  *(12, 3, 5), *(bytes([i]) * 16 for i in range(3)), np.arange(9, dtype='u4')
)


def saved(tmp_path, content):
  path = tmp_path / 'file.bits'
  path.write_bytes(content)
  return path


def test_a_file_is_read_as_written(tmp_path):
  content = container.pack(FOUND)
  assert len(content) == container.HEADER_BYTES + FOUND.words.nbytes
  found = container.read(saved(tmp_path, content))
  assert found[:-1] == FOUND[:-1]
  np.testing.assert_array_equal(found.words, FOUND.words)


@pytest.mark.parametrize('place', [7, 9, 20, 70, 85, -1])
def test_any_changed_byte_is_refused(tmp_path, place):
  content = bytearray(container.pack(FOUND))
  content[place] ^= 1
  with pytest.raises(UserError, match='damaged'):
    container.read(saved(tmp_path, bytes(content)))


@pytest.mark.parametrize('size', [6, 50, 90, 113])
def test_a_truncated_file_is_refused(tmp_path, size):
  with pytest.raises(UserError, match='damaged'):
    container.read(saved(tmp_path, container.pack(FOUND)[:size]))


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 an archive'])
def test_a_foreign_file_is_refused(tmp_path, content):
  with pytest.raises(UserError, match='another kind of file'):
    container.read(saved(tmp_path, content))


def test_another_version_is_named(tmp_path, monkeypatch):
  monkeypatch.setattr(container, '_VERSION', 2)
  path = saved(tmp_path, container.pack(FOUND))
  monkeypatch.undo()
  with pytest.raises(UserError, match='got version 2, expected 1'):
    container.read(path)


def test_impossible_latent_bits_are_refused(tmp_path):
  path = saved(tmp_path, container.pack(FOUND._replace(latent_bits=200)))
  with pytest.raises(UserError, match='200 bits per latent'):
    container.read(path)


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(UserError, match=r'none\.bits'):
    container.read(tmp_path / 'none.bits')
