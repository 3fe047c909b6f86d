"""The manifest of a checkpoint: what its arrays are, and their digest."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax import files
from vae_jax.errors import UserError

MANIFEST_BYTES = 2**24


class CheckpointError(UserError):
  """A checkpoint that is damaged, or of another model."""


class Leaf(NamedTuple):
  """What the manifest says of an array."""

  name: str
  shape: tuple[int, ...]
  dtype: str


def named_leaves(tree: Any, within: str = '') -> list[tuple[str, Any]]:
  """Returns the path and the value of each leaf; paths start at `within`."""
  prefix = f'{within}/' if within else ''
  name = lambda path: jax.tree_util.keystr(path, simple=True, separator='/')
  paths = jax.tree_util.tree_leaves_with_path(tree)
  return [(prefix + name(path), leaf) for path, leaf in paths]


def describe(name: str, leaf: Any) -> Leaf:
  """Returns what the manifest says of a leaf."""
  return Leaf(name, tuple(jnp.shape(leaf)), str(leaf.dtype))


def read_manifest(
  path: pathlib.Path, step: int
) -> tuple[list[Leaf], list[str | None], str]:
  """Returns the leaves, the keys' implementations and the digest."""
  try:
    manifest = json.loads(files.read_text(path, most=MANIFEST_BYTES))
    stored = [
      Leaf(str(name), tuple(map(int, shape)), str(dtype))
      for name, shape, dtype in manifest['leaves']
    ]
    key_impls = list(manifest['key_impl'])
    if manifest['step'] != step or len(key_impls) != len(stored):
      raise ValueError('it tells of another step')
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
) -> list[int]:
  """Names the first leaf that is not as expected; returns their places."""
  places = {leaf.name: place for place, leaf in enumerate(stored)}
  expected = [describe(name, leaf) for name, leaf in leaves]
  for leaf in expected:
    if leaf.name not in places:
      raise CheckpointError(f'{stem}: has no leaf {leaf.name}: another model?')
    there = stored[places[leaf.name]]
    if there != leaf:
      raise CheckpointError(
        f'{stem}: leaf {leaf.name} is {there.dtype}{list(there.shape)}, the '
        f'model wants {leaf.dtype}{list(leaf.shape)}'
      )
  part = [n for n in stored if not within or n.name.startswith(f'{within}/')]
  if part != expected:
    extra = {leaf.name for leaf in part} - {leaf.name for leaf in expected}
    raise CheckpointError(
      f'{stem}: has leaves unknown to the model: {sorted(extra)}'
    )
  return [places[leaf.name] for leaf in expected]
