"""Start of a run: replaces no file, and leaves none if it fails."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

from vae_jax.errors import UserError
from vae_jax.io import files, lock, signals
from vae_jax.runs.folder import (
  CHECKPOINTS,
  CONFIG,
  FIGURES,
  METRICS,
  REPORT,
  RunFolder,
)

# What a run writes after its first checkpoint.
_LATER = (METRICS, CHECKPOINTS, FIGURES, REPORT, 'evaluations')
# Files of the first checkpoint.
_FIRST = ('step_000000000.', '.step_000000000.')


@contextlib.contextmanager
def claim(path: str | os.PathLike[str]) -> Iterator[RunFolder]:
  """Creates and claims a folder to train in; removes a start that fails.

  Raises:
    UserError: as `RunFolder.create`, `check_unused` and `RunFolder.claim`.
  """
  wanted = pathlib.Path(path).expanduser()
  missing = [each for each in (wanted, *wanted.parents) if not each.exists()]
  folder = RunFolder.create(path)
  before = {*os.listdir(folder.path)}
  try:
    check_unused(folder)
    with folder.claim():
      try:
        yield folder
      except (UserError, OSError, MemoryError, signals.Stopped):
        _remove(folder, {lock.NAME, CONFIG, METRICS} - before)
        raise
  finally:
    # Only an empty folder can be removed.
    with contextlib.suppress(OSError):
      for each in missing:
        each.rmdir()


def _remove(folder: RunFolder, names: set[str]) -> None:
  """Removes what a start without a checkpoint has written."""
  with contextlib.suppress(OSError, UserError):
    if not folder.has_checkpoint():
      for name in names:
        files.remove(folder.path / name)
      folder.checkpoints.rmdir()


def check_unused(folder: RunFolder) -> None:
  """Raises `UserError` if a new run would replace files of something else.

  It may replace a run that was interrupted before its first checkpoint.
  """
  if folder.has_checkpoint():
    return
  if folder.config.exists():
    try:
      folder.read_record()
    except UserError as error:
      raise UserError(
        f'{folder.path}: holds files of another program, and a run would '
        f'replace them ({error}). Use another --workdir'
      ) from None
  found = [name for name in _LATER if _is_used(folder.path / name)]
  if found:
    raise UserError(
      f'{folder.path}: got {", ".join(found)} without a checkpoint of a run, '
      f'expected an empty folder or a run. Put its {CHECKPOINTS}/ back, or use '
      'another --workdir'
    )


def _is_used(path: pathlib.Path) -> bool:
  """Returns whether an interrupted start cannot have left this."""
  if path.is_dir() and not path.is_symlink():
    left = _FIRST if path.name == CHECKPOINTS else ()
    return not all(each.startswith(left) for each in os.listdir(path))
  return os.path.lexists(path) and path.lstat().st_size > 0
