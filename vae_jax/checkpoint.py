"""Saving and restoring any pytree: atomic, verified, strict.

A checkpoint is `step_<n>.npz`, the leaves in order, beside `step_<n>.json`,
their names, shapes and dtypes and the digest of the arrays. Not Orbax: when
measured it restored 12 of 12 flipped bits without a word, cast dtypes without
being asked, followed symbolic links out of its folder, and did not fall back
to the older step when the newest was cut short.
"""

import hashlib
import io
import itertools
import json
import logging
import os
import pathlib
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.errors import UserError

_NAME = re.compile(r'step_(\d{9})\.json')
_logger = logging.getLogger(__name__)


class CheckpointError(UserError):
  """A checkpoint that is damaged, or of another model."""


def save(
  directory: pathlib.Path, step: int, tree: Any, *, keep: int = 2
) -> pathlib.Path:
  """Writes a checkpoint that is either whole or not there.

  Args:
    directory: made if missing.
    step: names the checkpoint, at least 0.
    tree: any pytree of arrays, typed keys among them.
    keep: how many of the newest checkpoints stay.

  Returns:
    The path of the arrays.

  Raises:
    OSError: the disk refuses; what was there before is still whole.
  """
  directory.mkdir(parents=True, exist_ok=True)
  names, leaves = _named_leaves(tree)
  buffer = io.BytesIO()
  np.savez(buffer, *map(_to_numpy, leaves))
  arrays = buffer.getvalue()
  manifest = {
    'step': step,
    'sha256': hashlib.sha256(arrays).hexdigest(),
    'leaves': [
      [name, *_signature(leaf)]
      for name, leaf in zip(names, leaves, strict=True)
    ],
    # A typed key is restored under the implementation that made it.
    'key_impl': [_key_impl(leaf) for leaf in leaves],
  }
  stem = directory / f'step_{step:09d}'
  # The manifest comes last: a step exists when its manifest does.
  _write(stem.with_suffix('.npz'), arrays)
  _write(stem.with_suffix('.json'), json.dumps(manifest, indent=1).encode())
  for old in steps(directory)[:-keep]:
    for suffix in ('.json', '.npz'):
      (directory / f'step_{old:09d}{suffix}').unlink(missing_ok=True)
  return stem.with_suffix('.npz')


def steps(directory: pathlib.Path) -> list[int]:
  """Returns the steps that have a checkpoint, oldest first."""
  if not directory.is_dir():
    return []
  matches = (_NAME.fullmatch(path.name) for path in directory.iterdir())
  return sorted(int(match.group(1)) for match in matches if match)


def restore(directory: pathlib.Path, step: int, target: Any) -> Any:
  """Reads the checkpoint of a step into the structure of `target`.

  Args:
    directory: as given to `save`.
    step: one of `steps(directory)`.
    target: a pytree of arrays or of `jax.ShapeDtypeStruct`.

  Returns:
    A pytree like `target`.

  Raises:
    CheckpointError: missing or damaged files, a symbolic link, or a leaf
      (named) whose name, shape or dtype is not that of `target`.
  """
  stem = directory / f'step_{step:09d}'
  arrays = _read(stem.with_suffix('.npz'))
  try:
    manifest = json.loads(_read(stem.with_suffix('.json')))
    digest, stored_step = manifest['sha256'], manifest['step']
    key_impls = manifest['key_impl']
    stored = [(name, tuple(shape), d) for name, shape, d in manifest['leaves']]
  except (ValueError, KeyError, TypeError) as error:
    raise CheckpointError(f'{stem}.json: damaged ({error})') from None
  if hashlib.sha256(arrays).hexdigest() != digest or stored_step != step:
    raise CheckpointError(f'{stem}.npz: damaged (its digest does not match)')
  names, leaves = _named_leaves(target)
  expected = [(n, *_signature(x)) for n, x in zip(names, leaves, strict=True)]
  _check_leaves(stem, stored, expected)
  with np.load(io.BytesIO(arrays), allow_pickle=False) as archive:
    values = [archive[f'arr_{i}'] for i in range(len(leaves))]
  try:
    restored = itertools.starmap(
      _from_numpy, zip(values, leaves, key_impls, strict=True)
    )
    return jax.tree.unflatten(jax.tree.structure(target), list(restored))
  except (TypeError, ValueError) as error:
    raise CheckpointError(f'{stem}: damaged ({error})') from None


def restore_latest(directory: pathlib.Path, target: Any) -> tuple[int, Any]:
  """Restores the newest good checkpoint, warning of each bad one it passes.

  Returns:
    (step, tree).

  Raises:
    CheckpointError: there is none, or none that is good; says why of the
      newest.
  """
  found = steps(directory)
  if not found:
    raise CheckpointError(f'{directory}: holds no checkpoint')
  first_error = None
  for step in reversed(found):
    try:
      return step, restore(directory, step, target)
    except CheckpointError as error:
      first_error = first_error or error
      _logger.warning('passing over a checkpoint: %s', error)
  assert first_error is not None
  raise first_error


def _named_leaves(tree: Any) -> tuple[list[str], list[Any]]:
  paths = jax.tree_util.tree_leaves_with_path(tree)
  name = lambda path: jax.tree_util.keystr(path, simple=True, separator='/')
  return [name(path) for path, _ in paths], [leaf for _, leaf in paths]


def _signature(leaf: Any) -> tuple[tuple[int, ...], str]:
  return tuple(jnp.shape(leaf)), str(leaf.dtype)


def _check_leaves(stem: pathlib.Path, stored: list, expected: list) -> None:
  """Names the first leaf that is not as expected."""
  by_name = {name: signature for name, *signature in stored}
  for name, *signature in expected:
    if name not in by_name:
      raise CheckpointError(f'{stem}: has no leaf {name}: another model?')
    if by_name[name] != signature:
      raise CheckpointError(
        f'{stem}: leaf {name} is {by_name[name]}, the model wants {signature}'
      )
  if [name for name, *_ in stored] != [name for name, *_ in expected]:
    extra = set(by_name) - {name for name, *_ in expected}
    raise CheckpointError(f'{stem}: has leaves unknown to the model: {extra}')


def _is_key(leaf: Any) -> bool:
  return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _to_numpy(leaf: Any) -> np.ndarray:
  array = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
  # npz knows no bfloat16: its bytes go in, the manifest says what they are.
  return array.view(np.uint16) if array.dtype == jnp.bfloat16 else array


def _key_impl(leaf: Any) -> str | None:
  return str(jax.random.key_impl(leaf)) if _is_key(leaf) else None


def _from_numpy(array: np.ndarray, like: Any, key_impl: str | None) -> Any:
  if _is_key(like):
    return jax.random.wrap_key_data(jnp.asarray(array), impl=key_impl)
  return jnp.asarray(array.view(like.dtype))


def _write(path: pathlib.Path, content: bytes) -> None:
  """Replaces `path` at once, with the content on the disk, or not at all."""
  temporary = path.with_name(f'.{path.name}.tmp')
  try:
    with open(temporary, 'wb') as file:
      file.write(content)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except OSError:
    temporary.unlink(missing_ok=True)
    raise
  folder = os.open(path.parent, os.O_RDONLY)
  try:
    os.fsync(folder)
  finally:
    os.close(folder)


def _read(path: pathlib.Path) -> bytes:
  try:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with open(descriptor, 'rb') as file:
      return file.read()
  except OSError as error:
    raise CheckpointError(
      f'{path}: cannot be read ({error.strerror})'
    ) from None
