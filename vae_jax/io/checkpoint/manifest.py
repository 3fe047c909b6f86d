"""Manifest of a checkpoint: names, shapes, dtypes, digest of its arrays."""

import json
import pathlib
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.errors import UserError
from vae_jax.io import files

MANIFEST_BYTES = 2**24


class CheckpointError(UserError):
  """Raised by a checkpoint that is damaged or of another model."""


class Leaf(NamedTuple):
  """Entry of the manifest for one array."""

  name: str
  shape: tuple[int, ...]
  dtype: str


def named_leaves(tree: Any, within: str = '') -> list[tuple[str, Any]]:
  """Returns (path, value) of each leaf; paths start with `within`."""
  name = lambda path: jax.tree_util.keystr(path, simple=True, separator='/')
  paths = jax.tree_util.tree_leaves_with_path(tree)
  # A tree that is one leaf has an empty path.
  join = lambda *parts: '/'.join(part for part in parts if part)
  return [(join(within, name(path)), leaf) for path, leaf in paths]


def describe(name: str, leaf: Any) -> Leaf:
  """Returns the entry of the manifest for a leaf."""
  return Leaf(name, tuple(jnp.shape(leaf)), str(leaf.dtype))


def read_manifest(
  path: pathlib.Path, step: int
) -> tuple[list[Leaf], list[str | None], str]:
  """Reads and checks a manifest.

  Args:
    path: File of the manifest.
    step: Expected step.

  Returns:
    (entries, implementation of typed keys or None per entry, digest).

  Raises:
    CheckpointError: The manifest is damaged, or of another step.
    UserError: The file is missing, unreadable, not regular or too large.
  """
  try:
    manifest = json.loads(files.read_text(path, max_bytes=MANIFEST_BYTES))
    stored = [
      Leaf(str(name), tuple(map(int, shape)), str(dtype))
      for name, shape, dtype in manifest['leaves']
    ]
    key_impls = list(manifest['key_impl'])
    if manifest['step'] != step or len(key_impls) != len(stored):
      raise ValueError('it is of another step')
    return stored, key_impls, str(manifest['sha256'])
  except UserError:
    raise
  except (ValueError, KeyError, TypeError, RecursionError) as error:
    raise CheckpointError(f'{path}: damaged ({error})') from None


def check_leaves(
  stem: pathlib.Path,
  stored: Sequence[Leaf],
  leaves: Sequence[tuple[str, Any]],
  within: str,
  ignored: Collection[str] = (),
) -> list[int]:
  """Returns the position in the archive of each expected leaf.

  Args:
    stem: Path of the checkpoint without suffix, for messages.
    stored: Entries of the manifest.
    leaves: Expected leaves, as from `named_leaves`.
    within: Prefix of the expected names; '' for the whole tree.
    ignored: Names of leaves that may be stored but are not expected; one that
      ends with '/' stands for all leaves below it.

  Raises:
    CheckpointError: A leaf, which the message names, is missing, superfluous,
      or has another shape or dtype.
  """
  places = {leaf.name: place for place, leaf in enumerate(stored)}
  expected = [describe(name, leaf) for name, leaf in leaves]
  for leaf in expected:
    if leaf.name not in places:
      raise CheckpointError(
        f'{stem}: has no leaf {leaf.name}; it may be of another model'
      )
    found = stored[places[leaf.name]]
    if found != leaf:
      widths = {found.dtype, leaf.dtype} == {'float32', 'float64'}
      hint = '. Set JAX_ENABLE_X64 as when the run started' if widths else ''
      raise CheckpointError(
        f'{stem}: leaf {leaf.name} is {found.dtype}{list(found.shape)}, the '
        f'model expects {leaf.dtype}{list(leaf.shape)}{hint}'
      )
  inside = lambda name: not within or f'{name}/'.startswith(f'{within}/')
  below = tuple(name for name in ignored if name.endswith('/'))
  is_ignored = lambda name: name in ignored or name.startswith(below)
  counts = lambda name: inside(name) and not is_ignored(name)
  part = [leaf for leaf in stored if counts(leaf.name)]
  if part != expected:
    extra = {leaf.name for leaf in part} - {leaf.name for leaf in expected}
    raise CheckpointError(
      f'{stem}: has leaves unknown to the model: {sorted(extra)}'
    )
  return [places[leaf.name] for leaf in expected]
