"""Persistent cache of compiled programs, by release of jaxlib and processor."""

import hashlib
import importlib.metadata
import os
import pathlib
import platform

import jax
from jax.experimental.compilation_cache import compilation_cache

from vae_jax.runs.folder_path import create_folder

_CPU_INFO = pathlib.Path('/proc/cpuinfo')
# Entries of the first processor in that file, on x86 and on ARM.
_NAMES = ('model name', 'flags', 'CPU part', 'Features')


def enable(folder: str | os.PathLike[str]) -> pathlib.Path | None:
  """Keeps compiled programs in a folder, for this process and later ones.

  A program is read where its code, options and versions are the same, so that
  the numbers are too. jax warns of an entry that it cannot read or write, and
  compiles the program.

  Args:
    folder: folder of the caches; '' to keep nothing.

  Returns:
    The folder of this release and processor, None for ''.

  Raises:
    UserError: the folder cannot be created or written.
  """
  if not os.fspath(folder):
    return None
  path = create_folder(folder, 'compile_cache') / name()
  create_folder(path, 'compile_cache')
  jax.config.update('jax_compilation_cache_dir', str(path))
  # Most programs of a run are small, and there are many.
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)
  # Their paths would be part of every key.
  jax.config.update('jax_persistent_cache_enable_xla_caches', 'none')
  # jax looks at the settings once, at its first program.
  compilation_cache.reset_cache()
  return path


def name() -> str:
  """Returns the name of the cache of this jaxlib, platform and processor.

  A program compiled for another processor may end the process (jax#38445).
  """
  version = importlib.metadata.version('jaxlib')
  return f'jaxlib-{version}-{jax.default_backend()}-{cpu_digest()}'


def cpu_digest() -> str:
  """Returns a digest of the model and features of the processor."""
  found = [platform.machine(), platform.processor()]
  if _CPU_INFO.exists():
    first = _CPU_INFO.read_text().split('\n\n')[0]
    found += [x for x in first.splitlines() if x.startswith(_NAMES)]
  return hashlib.sha256('\n'.join(found).encode()).hexdigest()[:12]
