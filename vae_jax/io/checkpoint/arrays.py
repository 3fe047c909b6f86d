"""Arrays of a checkpoint: a verified, possibly forged, npz archive."""

import hashlib
import io
import pathlib
import zipfile
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.io.checkpoint.manifest import CheckpointError, Leaf

# Overhead per leaf in the archive: two zip headers, one npy header, padding.
_LEAF_BYTES = 1024


def check_arrays(
  stem: pathlib.Path,
  file: io.BufferedReader,
  stored: Sequence[Leaf],
  digest: str,
) -> None:
  """Raises `CheckpointError` unless size and digest match the manifest."""
  max_bytes = (
    sum(_LEAF_BYTES + _stored_bytes(leaf) for leaf in stored) + _LEAF_BYTES
  )
  if file.seek(0, io.SEEK_END) > max_bytes:
    raise CheckpointError(
      f'{stem}.npz: damaged (it is larger than its {len(stored)} leaves)'
    )
  file.seek(0)
  if hashlib.file_digest(file, 'sha256').hexdigest() != digest:
    raise CheckpointError(f'{stem}.npz: damaged (its digest does not match)')
  file.seek(0)


def _stored_bytes(leaf: Leaf) -> int:
  # The largest key data are the four words of the implementation rbg.
  size = 16 if leaf.dtype.startswith('key<') else jnp.dtype(leaf.dtype).itemsize
  for length in leaf.shape:
    size *= length
  return size


def read_leaf(
  archive: zipfile.ZipFile, index: int, like: Any, key_impl: str | None
) -> Any:
  """Reads one array of the archive.

  Args:
    archive: Archive of the arrays.
    index: Position of the array.
    like: Expected leaf, an array or a `jax.ShapeDtypeStruct`.
    key_impl: Implementation of typed keys; None for other leaves.

  Raises:
    ValueError: Shape or dtype are not those of `like`, or the data have
      another length.
  """
  with archive.open(f'arr_{index}.npy') as file:
    major, _ = np.lib.format.read_magic(file)
    if major != 1:
      raise ValueError(f'array {index} has npy format {major}, expected 1')
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    if is_key(like):
      wanted = jax.eval_shape(lambda k: jax.random.key_data(k), like)
    else:
      wanted = like
    if shape != wanted.shape or by_columns or dtype != _on_disk(wanted.dtype):
      raise ValueError(
        f'array {index} has another shape or dtype than its manifest'
      )
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    content = file.read(size + 1)
  if len(content) != size:
    raise ValueError(f'array {index} has another length than its shape')
  array = np.frombuffer(content, wanted.dtype).reshape(shape)
  if is_key(like):
    return jax.random.wrap_key_data(jnp.asarray(array), impl=key_impl)
  return jnp.asarray(array)


def is_key(leaf: Any) -> bool:
  """Returns whether a leaf consists of typed keys."""
  return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _on_disk(dtype: Any) -> np.dtype:
  # npz has no bfloat16: store its bytes; the manifest has the dtype.
  return np.dtype(np.uint16 if dtype == jnp.bfloat16 else dtype)


def to_numpy(leaf: Any) -> np.ndarray:
  """Returns the array that is stored for a leaf."""
  array = np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
  return np.asarray(array, order='C').view(_on_disk(array.dtype))


def key_impl(leaf: Any) -> str | None:
  """Returns the implementation of typed keys; None for other leaves."""
  return str(jax.random.key_impl(leaf)) if is_key(leaf) else None
