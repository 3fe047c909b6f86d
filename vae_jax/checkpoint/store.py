"""Checkpoints in a folder: the newest stay, the newest good one comes back."""

import hashlib
import io
import json
import logging
import pathlib
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from vae_jax import files
from vae_jax.checkpoint.arrays import (
  check_arrays,
  key_impl,
  read_leaf,
  to_numpy,
)
from vae_jax.checkpoint.manifest import (
  CheckpointError,
  check_leaves,
  describe,
  named_leaves,
  read_manifest,
)
from vae_jax.errors import UserError

_NAME = re.compile(r'step_(\d{9,10})\.json')
_logger = logging.getLogger(__name__)


def save(
  directory: pathlib.Path, step: int, tree: Any, *, keep: int = 2
) -> pathlib.Path:
  """Writes a checkpoint that is either whole or not there.

  Args:
    directory: made if missing.
    step: names the checkpoint, at least 0.
    tree: any pytree of arrays, typed keys among them.
    keep: how many of the newest checkpoints stay, at least 1. Those of later
      steps go: a run that went back to an older one makes them anew.

  Returns:
    The path of the arrays.

  Raises:
    UserError: `directory` is a symbolic link or a file.
    OSError: the disk refuses; what was there before is still whole.
  """
  files.make_folder(directory)
  leaves = named_leaves(tree)
  buffer = io.BytesIO()
  np.savez(buffer, *(to_numpy(leaf) for _, leaf in leaves))
  arrays = buffer.getvalue()
  manifest = {
    'step': step,
    'sha256': hashlib.sha256(arrays).hexdigest(),
    'leaves': [describe(name, leaf) for name, leaf in leaves],
    # A typed key is restored under the implementation that made it.
    'key_impl': [key_impl(leaf) for _, leaf in leaves],
  }
  stem = _stem(directory, step)
  # The manifest comes last: a step exists when its manifest does.
  files.write(stem.with_suffix('.npz'), arrays)
  files.write(stem.with_suffix('.json'), json.dumps(manifest).encode())
  _tidy(directory, [n for n in steps(directory) if n <= step][-keep:])
  return stem.with_suffix('.npz')


def steps(directory: pathlib.Path) -> list[int]:
  """Returns the steps that have a checkpoint, oldest first.

  Raises:
    UserError: `directory` is a symbolic link or a file.
  """
  files.check_folder(directory)
  if not directory.is_dir():
    return []
  matches = (_NAME.fullmatch(path.name) for path in directory.iterdir())
  return sorted(int(match.group(1)) for match in matches if match)


def restore(
  directory: pathlib.Path, step: int, target: Any, *, within: str = ''
) -> Any:
  """Reads the checkpoint of a step into the structure of `target`.

  No pickle is read, and no more memory is taken than `target` needs.

  Args:
    directory: as given to `save`.
    step: one of `steps(directory)`.
    target: a pytree of arrays or of `jax.ShapeDtypeStruct`.
    within: the part of the saved tree that `target` is, such as
      'train/params'; '' for all of it.

  Returns:
    A pytree like `target`.

  Raises:
    CheckpointError: missing or damaged files, a symbolic link, or a leaf
      (named) whose name, shape or dtype is not that of `target`.
  """
  stem = _stem(directory, step)
  try:
    stored, key_impls, digest = read_manifest(stem.with_suffix('.json'), step)
    leaves = named_leaves(target, within)
    places = check_leaves(stem, stored, leaves, within)
    with files.open_to_read(stem.with_suffix('.npz')) as file:
      check_arrays(stem, file, stored, digest)
      with zipfile.ZipFile(file) as archive:
        restored = [
          read_leaf(archive, place, leaf, key_impls[place])
          for place, (_, leaf) in zip(places, leaves, strict=True)
        ]
    return jax.tree.unflatten(jax.tree.structure(target), restored)
  except CheckpointError:
    raise
  except UserError as error:
    raise CheckpointError(str(error)) from None
  # A hostile archive raises whatever zipfile, zlib and NumPy raise.
  except Exception as error:
    raise CheckpointError(f'{stem}: damaged ({error})') from None


def restore_latest(
  directory: pathlib.Path, target: Any, *, within: str = ''
) -> tuple[int, Any]:
  """Restores the newest good checkpoint, warning of each bad one it passes.

  Returns:
    (step, tree).

  Raises:
    CheckpointError: there is none, or none that is good; says why of the
      newest.
    UserError: `directory` is a symbolic link or a file.
  """
  found = steps(directory)
  if not found:
    raise CheckpointError(f'{directory}: holds no checkpoint')
  passed: list[CheckpointError] = []
  for step in reversed(found):
    try:
      tree = restore(directory, step, target, within=within)
    except CheckpointError as error:
      passed.append(error)
      continue
    for bad in passed:
      _logger.warning('passing over a checkpoint: %s', bad)
    return step, tree
  raise passed[0]


def _stem(directory: pathlib.Path, step: int) -> pathlib.Path:
  return directory / f'step_{step:09d}'


def _tidy(directory: pathlib.Path, kept: Sequence[int]) -> None:
  """Removes other steps, halves of steps and what a crash left unfinished."""
  stems = {_stem(directory, step).name for step in kept}
  # A manifest goes before its arrays.
  for path in sorted(directory.iterdir()):
    stem = path.name.removeprefix('.').split('.')[0]
    left = path.name.startswith('.') and path.suffix == '.tmp'
    ours = re.fullmatch(r'\.?step_\d{9,10}\.(json|npz)(\.tmp)?', path.name)
    if ours and (left or stem not in stems):
      path.unlink(missing_ok=True)
