"""Names of the arrays of a pytree, in files that know no pytree."""

from collections.abc import Mapping
from typing import Any

import jax


def flat(name: str, tree: Any) -> dict[str, Any]:
  """Returns the leaves of a pytree by name: `z`, or `z_z1`, `z_z2` of a dict.

  Raises:
    ValueError: two leaves have the same name.
  """
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  found: dict[str, Any] = {}
  for path, leaf in leaves:
    own = jax.tree_util.keystr(path, simple=True, separator='_')
    full = f'{name}_{own}' if own else name
    if full in found:
      raise ValueError(f'two arrays have the name {full!r}')
    found[full] = leaf
  return found


def flat_all(trees: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the leaves of several pytrees by name, as `flat` does."""
  return {
    k: leaf for name in trees for k, leaf in flat(name, trees[name]).items()
  }
