"""Path of the folder of a run: its default, its check, its creation."""

import os
import pathlib
import stat
import tempfile

from vae_jax.data import FILE_SUFFIXES
from vae_jax.errors import UserError


def default_folder(dataset: str) -> str:
  """Returns runs/<dataset>, or runs/<stem> for a file or folder."""
  path = pathlib.Path(dataset).expanduser()
  is_path = dataset.endswith(FILE_SUFFIXES) or path.is_dir()
  name = path.absolute().stem if is_path else dataset
  return os.path.join('runs', name.replace('/', '_'))


def check_folder(path: str | os.PathLike[str], flag: str = 'workdir') -> None:
  """Checks that a path is a folder or can become one; creates nothing.

  Raises:
    UserError: `path` is a file, or no path of the file system.
  """
  try:
    is_folder = stat.S_ISDIR(os.stat(os.path.expanduser(path)).st_mode)
  except FileNotFoundError:
    return
  except OSError as error:
    raise UserError(
      f'--{flag}={path}: got no path of a folder ({error.strerror}). Use '
      f'another --{flag}'
    ) from None
  if not is_folder:
    raise UserError(
      f'--{flag}={path}: got a file, expected a folder. Use another --{flag}'
    )


def create_folder(
  path: str | os.PathLike[str], flag: str = 'workdir'
) -> pathlib.Path:
  """Creates a folder if it is missing, and checks that it is writable.

  Args:
    path: the folder.
    flag: flag that names it, for messages.

  Raises:
    UserError: `path` is a file, or the folder cannot be created or written.
  """
  folder = pathlib.Path(path).expanduser()
  if folder.exists() and not folder.is_dir():
    raise UserError(
      f'--{flag}={path}: got a file, expected a folder. Use another --{flag}'
    )
  try:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
      pass
  except OSError as error:
    raise UserError(
      f'--{flag}={path}: got a folder that is not writable '
      f'({error.strerror}). Use another --{flag}'
    ) from None
  return folder
