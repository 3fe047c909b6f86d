"""Checkpoints in a folder: saving, removing old ones, restoring the newest."""

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

from vae_jax.errors import UserError
from vae_jax.io import files
from vae_jax.io.checkpoint.arrays import (
  check_arrays,
  key_impl,
  read_leaf,
  to_numpy,
)
from vae_jax.io.checkpoint.manifest import (
  CheckpointError,
  check_leaves,
  describe,
  named_leaves,
  read_manifest,
)

_NAME = re.compile(r'step_(\d{9,10})\.json')
_logger = logging.getLogger(__name__)


def save(
  directory: pathlib.Path, step: int, tree: Any, *, keep: int = 2
) -> pathlib.Path:
  """Writes a checkpoint atomically and removes old ones.

  Args:
    directory: Folder of the checkpoints, created if it is missing.
    step: Training step, at least 0, which identifies the checkpoint.
    tree: Pytree of arrays and typed keys.
    keep: Number of newest checkpoints to keep, at least 1. Those of later
      steps are removed: a run restored from an earlier step replaces them.

  Returns:
    Path of the arrays.

  Raises:
    UserError: `directory` is a symbolic link or a file.
    OSError: The files cannot be written; previous checkpoints are unchanged.
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
    # Restoring a typed key needs its implementation.
    'key_impl': [key_impl(leaf) for _, leaf in leaves],
  }
  stem = _stem(directory, step)
  # The manifest is written last: it makes the checkpoint exist.
  files.write(stem.with_suffix('.npz'), arrays)
  files.write(stem.with_suffix('.json'), json.dumps(manifest).encode())
  _tidy(directory, [n for n in steps(directory) if n <= step][-keep:])
  return stem.with_suffix('.npz')


def steps(directory: pathlib.Path) -> list[int]:
  """Returns the steps of all checkpoints in ascending order.

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
  """Restores the checkpoint of a step, which may be from an untrusted source.

  Pickles are not loaded, and memory use is limited to the size of `target`.

  Args:
    directory: Folder of the checkpoints.
    step: Training step, one of `steps(directory)`.
    target: Pytree of arrays or of `jax.ShapeDtypeStruct`.
    within: Path of `target` in the saved tree, such as 'train/params'; '' for
      the whole tree.

  Returns:
    Pytree with the structure of `target`.

  Raises:
    CheckpointError: Files are missing, damaged or symbolic links; or the name,
      shape or dtype of a leaf, which the message names, differs from `target`.
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
  # A forged archive makes zipfile, zlib and NumPy raise many exceptions.
  except Exception as error:
    raise CheckpointError(f'{stem}: damaged ({error})') from None


def restore_latest(
  directory: pathlib.Path, target: Any, *, within: str = ''
) -> tuple[int, Any]:
  """Restores the newest undamaged checkpoint; warns of each one it skips.

  Args:
    directory: Folder of the checkpoints.
    target: Pytree of arrays or of `jax.ShapeDtypeStruct`.
    within: Path of `target` in the saved tree, as for `restore`.

  Returns:
    (step, tree).

  Raises:
    CheckpointError: The folder has no checkpoint, or only damaged ones; the
      error is the one of the newest.
    UserError: `directory` is a symbolic link or a file.
  """
  found = steps(directory)
  if not found:
    raise CheckpointError(f'{directory}: has no checkpoint')
  skipped: list[CheckpointError] = []
  for step in reversed(found):
    try:
      tree = restore(directory, step, target, within=within)
    except CheckpointError as error:
      skipped.append(error)
      continue
    for bad in skipped:
      _logger.warning('skipping a damaged checkpoint: %s', bad)
    return step, tree
  raise skipped[0]


def _stem(directory: pathlib.Path, step: int) -> pathlib.Path:
  return directory / f'step_{step:09d}'


def _tidy(directory: pathlib.Path, kept: Sequence[int]) -> None:
  """Removes other steps, incomplete checkpoints and temporary files."""
  stems = {_stem(directory, step).name for step in kept}
  # Sorting removes a manifest (.json) before its arrays (.npz).
  for path in sorted(directory.iterdir()):
    stem = path.name.removeprefix('.').split('.')[0]
    temporary = path.name.startswith('.') and path.suffix == '.tmp'
    ours = re.fullmatch(r'\.?step_\d{9,10}\.(json|npz)(\.tmp)?', path.name)
    if ours and (temporary or stem not in stems):
      path.unlink(missing_ok=True)
