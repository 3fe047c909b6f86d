import os

import pytest

from vae_jax.errors import UserError
from vae_jax.io import files


def fail(*args):
  raise OSError(28, 'No space left on device')


def test_a_failed_write_leaves_the_previous_file(tmp_path, monkeypatch):
  path = tmp_path / 'report.html'
  files.write_text(path, 'first: ±')
  for name in ('fsync', 'replace'):
    with monkeypatch.context() as patch:
      patch.setattr(files.os, name, fail)
      with pytest.raises(OSError, match='No space'):
        files.write_text(path, 'second')
  assert path.read_text(encoding='utf-8') == 'first: ±'
  assert list(tmp_path.iterdir()) == [path]


def test_write_replaces_temporary_files_and_symbolic_links(tmp_path):
  precious = tmp_path / 'precious'
  precious.write_text('text')
  for name in ('a', '.a.tmp'):
    (tmp_path / name).symlink_to(precious)
  files.write_text(tmp_path / 'a', 'new')
  assert (tmp_path / 'a').read_text() == 'new'
  assert not (tmp_path / 'a').is_symlink()
  assert precious.read_text() == 'text'


def test_only_regular_files_are_read(tmp_path):
  (tmp_path / 'file').write_text('text')
  (tmp_path / 'link').symlink_to(tmp_path / 'file')
  os.mkfifo(tmp_path / 'pipe')
  (tmp_path / 'folder').mkdir()
  assert files.read_text(tmp_path / 'file') == 'text'
  for name, reason in {
    'link': 'it is a symbolic link',
    'pipe': 'is not a regular file',
    'folder': 'is not a regular file',
    'none': 'No such file',
  }.items():
    with pytest.raises(UserError, match=reason):
      files.open_to_read(tmp_path / name)


def test_read_text_refuses_other_encodings_and_sizes(tmp_path):
  path = tmp_path / 'file'
  path.write_bytes(b'\xff\xfe')
  with pytest.raises(UserError, match='damaged'):
    files.read_text(path)
  with pytest.raises(UserError, match='has 2 bytes, expected at most 1'):
    files.read_text(path, max_bytes=1)
  with files.open_to_read(path) as file:
    assert len(file.read()) == 2


@pytest.mark.parametrize('first', ['first', 'f' * 10_000])
@pytest.mark.parametrize('cut', ['', 'x', 'y' * 10_000])
def test_append_line_removes_an_incomplete_last_line(tmp_path, cut, first):
  path = tmp_path / 'lines'
  files.append_line(path, first)
  with path.open('a') as file:
    file.write(cut)
  files.append_line(path, 'second')
  assert path.read_text() == f'{first}\nsecond\n'


def test_a_failed_append_leaves_the_previous_lines(tmp_path):
  path = tmp_path / 'lines'
  files.append_line(path, 'first')

  class Full:
    def __init__(self, file):
      self._file = file

    def write(self, content):
      return self._file.write(content[:3])

    def __getattr__(self, name):
      return getattr(self._file, name)

    def __enter__(self):
      return self

    def __exit__(self, *exception):
      self._file.close()

  open_file = os.fdopen
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(
      files.os, 'fdopen', lambda *args, **kw: Full(open_file(*args, **kw))
    )
    with pytest.raises(OSError, match='No space'):
      files.append_line(path, 'second')
  assert path.read_text() == 'first\n'


def test_lines_are_appended_to_regular_files_only(tmp_path):
  (tmp_path / 'precious').write_text('text\n')
  (tmp_path / 'link').symlink_to(tmp_path / 'precious')
  os.mkfifo(tmp_path / 'pipe')
  for name in ('link', 'pipe'):
    with pytest.raises(UserError, match=r'symbolic link|not a regular'):
      files.append_line(tmp_path / name, 'line')
  assert (tmp_path / 'precious').read_text() == 'text\n'


def test_make_folder_needs_a_parent_and_refuses_links_and_files(tmp_path):
  files.make_folder(tmp_path / 'a')
  files.make_folder(tmp_path / 'a')
  with pytest.raises(OSError, match='No such file'):
    files.make_folder(tmp_path / 'gone' / 'a')
  (tmp_path / 'link').symlink_to(tmp_path / 'a')
  (tmp_path / 'file').touch()
  for name in ('link', 'file'):
    with pytest.raises(UserError, match='must be a folder'):
      files.make_folder(tmp_path / name)
