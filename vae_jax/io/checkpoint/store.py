"""Checkpoints in a folder: saving, removing old ones, restoring the newest."""

import contextlib
import hashlib
import io
import json
import logging
import pathlib
import re
import zipfile
from collections.abc import Collection, Sequence
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
  Leaf,
  check_leaves,
  describe,
  named_leaves,
  read_manifest,
)

_NAME = re.compile(r'step_(\d{9,10})\.json')
_OURS = re.compile(r'\.?step_\d{9,10}(\.new)?\.(json|npz)(\.tmp)?')
# Arrays of a step that is saved again, until they replace the old ones.
_NEW = '.new.npz'
_logger = logging.getLogger(__name__)


def save(
  directory: pathlib.Path, step: int, tree: Any, *, keep: int = 2
) -> pathlib.Path:
  """Writes a checkpoint atomically and removes old ones.

  If the step was saved before, its arrays and its manifest must be replaced
  together. The new arrays are written beside the old ones, as `.new.npz`,
  and the digest in the manifest tells which of them belong to it.

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
    WriteError: The files cannot be written; previous checkpoints, also one of
      the same step, can still be restored.
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
  is_again = stem.with_suffix('.json').exists()
  if is_again:
    _settle(directory, step)
  # The manifest is written last: it makes the checkpoint exist.
  files.write(stem.with_suffix(_NEW if is_again else '.npz'), arrays)
  files.write(stem.with_suffix('.json'), json.dumps(manifest).encode())
  if is_again:
    _settle(directory, step)
  _tidy(directory, [n for n in steps(directory) if n <= step][-keep:])
  return stem.with_suffix('.npz')


def _settle(directory: pathlib.Path, step: int) -> None:
  """Renames the new arrays of a step if the manifest is theirs."""
  stem = _stem(directory, step)
  with contextlib.suppress(UserError):
    stored, _, digest = read_manifest(stem.with_suffix('.json'), step)
    _open(stem, _NEW, stored, digest).close()
    files.rename(stem.with_suffix(_NEW), stem.with_suffix('.npz'))


def _open(
  stem: pathlib.Path, suffix: str, stored: Sequence[Leaf], digest: str
) -> io.BufferedReader:
  """Opens arrays; raises `UserError` unless they match the manifest."""
  file = files.open_to_read(stem.with_suffix(suffix))
  try:
    check_arrays(stem, file, stored, digest)
  # A forged manifest may name a dtype that is none.
  except Exception as error:
    file.close()
    raise CheckpointError(str(error)) from None
  return file


def _open_either(
  stem: pathlib.Path, stored: Sequence[Leaf], digest: str
) -> io.BufferedReader:
  """Opens the arrays that match the manifest, see `save`."""
  with contextlib.suppress(UserError):
    return _open(stem, _NEW, stored, digest)
  return _open(stem, '.npz', stored, digest)


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


def newest_good(directory: pathlib.Path) -> int | None:
  """Returns the newest step whose files are complete and match; or None.

  Raises:
    UserError: `directory` is a symbolic link or a file.
  """
  for step in reversed(steps(directory)):
    stem = _stem(directory, step)
    with contextlib.suppress(UserError):
      stored, _, digest = read_manifest(stem.with_suffix('.json'), step)
      _open_either(stem, stored, digest).close()
      return step
  return None


def restore(
  directory: pathlib.Path,
  step: int,
  target: Any,
  *,
  within: str = '',
  ignored: Collection[str] = (),
) -> Any:
  """Restores the checkpoint of a step, which may be from an untrusted source.

  Pickles are not loaded, and memory use is limited to the size of `target`.

  Args:
    directory: Folder of the checkpoints.
    step: Training step, one of `steps(directory)`.
    target: Pytree of arrays or of `jax.ShapeDtypeStruct`.
    within: Path of `target` in the saved tree, such as 'train/params'; '' for
      the whole tree.
    ignored: Names of leaves that may be stored but are not restored, such as
      those of a former version; all below a name that ends with '/'.

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
    places = check_leaves(stem, stored, leaves, within, ignored)
    with (
      _open_either(stem, stored, digest) as file,
      zipfile.ZipFile(file) as archive,
    ):
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
  directory: pathlib.Path,
  target: Any,
  *,
  within: str = '',
  ignored: Collection[str] = (),
) -> tuple[int, Any]:
  """Restores the newest undamaged checkpoint; warns of each one it skips.

  Args:
    directory: Folder of the checkpoints.
    target: Pytree of arrays or of `jax.ShapeDtypeStruct`.
    within: Path of `target` in the saved tree, as for `restore`.
    ignored: Names of leaves that may be stored, as for `restore`.

  Returns:
    (step, tree).

  Raises:
    CheckpointError: The folder has no checkpoint, or only damaged ones; the
      error is the one of the newest.
    UserError: `directory` is a symbolic link or a file.
  """
  found = steps(directory)
  if not found:
    raise CheckpointError(f'{directory}: has no checkpoint. Put its files back')
  skipped: list[CheckpointError] = []
  for step in reversed(found):
    try:
      tree = restore(directory, step, target, within=within, ignored=ignored)
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
    ours = _OURS.fullmatch(path.name)
    if ours and (temporary or stem not in stems):
      files.remove(path)
