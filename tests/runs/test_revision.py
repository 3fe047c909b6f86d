"""The revision in config.json, with git commands that are unusual or broken."""

import os
import pathlib
import shutil
import subprocess
import time

import pytest

from vae_jax.runs import revision


def git(folder, *arguments):
  settings = ('-c', 'user.name=a', '-c', 'user.email=a@b')
  subprocess.run(
    ['git', *settings, *arguments], cwd=folder, check=True, capture_output=True
  )


@pytest.fixture
def sources(tmp_path, monkeypatch):
  """A repository with the module in it, as the only sources."""
  if not shutil.which('git'):
    pytest.skip('needs git')
  folder = tmp_path / 'ours' / 'runs'
  folder.mkdir(parents=True)
  copy = folder / 'revision.py'
  shutil.copy(revision.__file__, copy)
  monkeypatch.setattr(revision, '__file__', str(copy))
  monkeypatch.setattr(revision, '_PACKAGE', copy.parents[1])
  git(folder, 'init')
  return folder


def commit(folder):
  git(folder, 'add', '.')
  git(folder, 'commit', '-m', 'all')


def test_commit_and_changes_are_named(sources):
  assert revision.git_revision() is None
  commit(sources)
  clean, digest = revision.git_revision(), revision.source_digest()
  assert len(clean) == 40
  with (sources / 'revision.py').open('a') as file:
    file.write('# changed')
  assert revision.git_revision() == f'{clean}-dirty'
  assert revision.source_digest() != digest


def test_repository_that_git_dir_names_is_not_ours(
  sources, tmp_path, monkeypatch
):
  commit(sources)
  ours = revision.git_revision()
  other = tmp_path / 'other'
  other.mkdir()
  git(other, 'init')
  (other / 'a').touch()
  commit(other)
  monkeypatch.setenv('GIT_DIR', str(other / '.git'))
  monkeypatch.setenv('GIT_WORK_TREE', str(other))
  assert revision.git_revision() == ours


def test_repository_around_an_environment_is_not_ours(sources):
  (sources / '.gitignore').write_text('revision.py')
  commit(sources)
  assert revision.git_revision() is None


@pytest.mark.parametrize(
  ('script', 'expected'),
  [
    ('echo 0123456789abcdef', '0123456789abcdef'),
    (r"printf '\\377\\376'", None),
    (r"printf '\\033[2J12345678'", None),
    ('yes 0123456789abcdef', None),
    ('cat /dev/zero', None),
    ('exit 3', None),
    ('true', None),
    ('sleep 60 & sleep 60', None),
    ('echo 0123456789abcdef; sleep 60', None),
  ],
)
def test_git_that_misbehaves_leaves_the_revision_unknown(
  script, expected, tmp_path, monkeypatch
):
  monkeypatch.setattr(revision, '_SECONDS', 0.3)
  (tmp_path / 'git').write_text(f'#!/bin/sh\n{script}\n')
  (tmp_path / 'git').chmod(0o755)
  monkeypatch.setenv('PATH', str(tmp_path), prepend=os.pathsep)
  start = time.monotonic()
  assert revision.git_revision() == expected
  assert time.monotonic() - start < 5


def test_missing_git_leaves_the_revision_unknown(tmp_path, monkeypatch):
  monkeypatch.setenv('PATH', str(tmp_path))
  assert revision.git_revision() is None
  assert len(revision.source_digest()) == 16
  assert pathlib.Path(revision.__file__).is_file()
