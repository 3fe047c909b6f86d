"""The file of compressed examples: a header with digests, and the bits."""

import hashlib
import pathlib
import struct
from typing import NamedTuple

import numpy as np

from vae_jax.errors import UserError, command
from vae_jax.io import files

_MAGIC, _VERSION = b'vjbits', 1
_DIGEST = 16
MOST_LATENT_BITS = 16
# Magic, version, latent bits, examples, initial words, three digests.
_LAYOUT = struct.Struct(f'<6sBBII{_DIGEST}s{_DIGEST}s{_DIGEST}s')
HEADER_BYTES = _LAYOUT.size + _DIGEST


class Container(NamedTuple):
  """Compressed examples.

  Attributes:
    latent_bits: log2 of the number of buckets per latent dimension.
    num_examples: number of examples, N.
    num_initial: number of initial words.
    of_params: digest of the model's parameters.
    of_tables: digest of probabilities as this machine computes them.
    of_symbols: digest of the examples.
    words: the stack, `[W]` uint32.
  """

  latent_bits: int
  num_examples: int
  num_initial: int
  of_params: bytes
  of_tables: bytes
  of_symbols: bytes
  words: np.ndarray


def digest(*contents: bytes) -> bytes:
  """Returns the first bytes of the SHA-256 of the joined contents."""
  return hashlib.sha256(b''.join(contents)).digest()[:_DIGEST]


def pack(found: Container) -> bytes:
  """Returns the content of the file, with a digest of all of it."""
  header = _LAYOUT.pack(_MAGIC, _VERSION, *found[:-1])
  payload = found.words.astype('<u4').tobytes()
  return header + digest(header, payload) + payload


def read(path: pathlib.Path) -> Container:
  """Reads a file of compressed examples.

  Args:
    path: the file.

  Raises:
    UserError: no such file, another kind of file, another version, or a
      damaged file.
  """
  with files.open_to_read(path) as file:
    content = file.read()
  if not content.startswith(_MAGIC):
    raise UserError(
      f'{path}: got another kind of file, expected one of '
      f'{command("compress")}. Name its file in --decompress'
    )
  header, payload = content[: _LAYOUT.size], content[HEADER_BYTES:]
  if content[_LAYOUT.size : HEADER_BYTES] != digest(header, payload) or (
    len(payload) % 4
  ):
    raise damaged(path, f'{len(content)} bytes of another digest')
  _, version, *fields = _LAYOUT.unpack(header)
  if version != _VERSION:
    raise UserError(
      f'{path}: got version {version}, expected {_VERSION}. Use the version of '
      'vae_jax that wrote it'
    )
  words = np.frombuffer(payload, '<u4').astype(np.uint32)
  found = Container._make((*fields, words))
  if not 1 <= found.latent_bits <= MOST_LATENT_BITS:
    raise damaged(path, f'{found.latent_bits} bits per latent')
  return found


def damaged(path: pathlib.Path, found: str) -> UserError:
  """Returns the error of a damaged file."""
  return UserError(
    f'{path}: damaged: got {found}, expected those of '
    f'{command("compress")}. Compress the examples again'
  )
