"""The arrays of a checkpoint: an npz archive, read without trust."""

import hashlib
import io
import pathlib
import zipfile
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.checkpoint.manifest import CheckpointError, Leaf

# What the archive adds to a leaf: two headers of zip, one of npy, padding.
_LEAF_BYTES = 1024


def check_arrays(
  stem: pathlib.Path,
  file: io.BufferedReader,
  stored: Sequence[Leaf],
  digest: str,
) -> None:
  """Raises `CheckpointError` unless the file is the one that was written."""
  most = sum(_LEAF_BYTES + _stored_bytes(leaf) for leaf in stored) + _LEAF_BYTES
  if file.seek(0, io.SEEK_END) > most:
    raise CheckpointError(
      f'{stem}.npz: damaged (it is larger than its {len(stored)} leaves are)'
    )
  file.seek(0)
  if hashlib.file_digest(file, 'sha256').hexdigest() != digest:
    raise CheckpointError(f'{stem}.npz: damaged (its digest does not match)')
  file.seek(0)


def _stored_bytes(leaf: Leaf) -> int:
  # A key's data is at most the four words of the implementation rbg.
  size = 16 if leaf.dtype.startswith('key<') else jnp.dtype(leaf.dtype).itemsize
  for length in leaf.shape:
    size *= length
  return size


def read_leaf(
  archive: zipfile.ZipFile, index: int, like: Any, key_impl: str | None
) -> Any:
  """Reads one array, whose header must say what `like` is."""
  with archive.open(f'arr_{index}.npy') as file:
    major, _ = np.lib.format.read_magic(file)
    if major != 1:
      raise ValueError('an array of another format')
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    if is_key(like):
      wanted = jax.eval_shape(lambda k: jax.random.key_data(k), like)
    else:
      wanted = like
    if shape != wanted.shape or by_columns or dtype != _on_disk(wanted.dtype):
      raise ValueError(f'array {index} is not what its manifest says')
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    content = file.read(size + 1)
  if len(content) != size:
    raise ValueError(f'array {index} has another length than its shape')
  array = np.frombuffer(content, wanted.dtype).reshape(shape)
  if is_key(like):
    return jax.random.wrap_key_data(jnp.asarray(array), impl=key_impl)
  return jnp.asarray(array)


def is_key(leaf: Any) -> bool:
  """Whether a leaf is of typed keys."""
  return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _on_disk(dtype: Any) -> np.dtype:
  # npz knows no bfloat16: its bytes go in, the manifest says what they are.
  return np.dtype(np.uint16 if dtype == jnp.bfloat16 else dtype)


def to_numpy(leaf: Any) -> np.ndarray:
  """Returns a leaf as it is stored."""
  array = np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
  return np.asarray(array, order='C').view(_on_disk(array.dtype))


def key_impl(leaf: Any) -> str | None:
  """Returns the implementation of typed keys, None of other leaves."""
  return str(jax.random.key_impl(leaf)) if is_key(leaf) else None
