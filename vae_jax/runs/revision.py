"""Revision of the sources: the git commit, and a digest of the files."""

import contextlib
import hashlib
import os
import pathlib
import re
import signal
import subprocess
import threading

_PACKAGE = pathlib.Path(__file__).parents[1]
_SECONDS, _MAX_BYTES = 10.0, 200
_REVISION = re.compile(rb'[\w./+-]{7,}')


def git_revision() -> str | None:
  """Returns the commit of the sources, marked if they differ from it.

  None where git does not answer, or where the repository around the sources,
  such as one with an environment in it, does not track them.
  """
  tracked = ('ls-files', '--error-unmatch', '--', pathlib.Path(__file__).name)
  if _git(*tracked) is None:
    return None
  found = _git('describe', '--always', '--abbrev=40', '--dirty')
  return found.decode() if found and _REVISION.fullmatch(found) else None


def source_digest() -> str:
  """Returns a digest of the sources, which tells changes without a commit."""
  digest = hashlib.sha256()
  for path in sorted(_PACKAGE.rglob('*.py')):
    if path.is_relative_to(_PACKAGE / 'commands'):
      continue  # A wheel has the scripts there, a clone beside the library.
    digest.update(f'{path.relative_to(_PACKAGE)}\0'.encode())
    digest.update(path.read_bytes())
  return digest.hexdigest()[:16]


def _git(*arguments: str) -> bytes | None:
  """Returns the first bytes that git prints, or None if it fails."""
  # GIT_DIR and the like would lead to another repository.
  environment = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith('GIT_') or name.startswith('GIT_CONFIG')
  }
  try:
    process = subprocess.Popen(
      ['git', *arguments],
      cwd=pathlib.Path(__file__).parent,
      env=environment,
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      # Its children, which may hold the pipe open, end with it.
      start_new_session=True,
    )
  except OSError:
    return None

  def end() -> None:
    with contextlib.suppress(OSError):
      os.killpg(process.pid, signal.SIGKILL)

  timer = threading.Timer(_SECONDS, end)
  timer.start()
  try:
    assert process.stdout is not None
    text = process.stdout.read(_MAX_BYTES)
    if len(text) < _MAX_BYTES:
      process.wait()
  finally:
    timer.cancel()
    if process.poll() is None:
      end()
    with process:
      pass
  return text.strip() if process.returncode == 0 else None
