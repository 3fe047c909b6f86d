"""Strict settings for every test, and the fixtures they share."""

import importlib.metadata
import os
import pathlib
import tempfile
import zlib

# Programs are compiled often and run briefly: XLA's newer emitters take three
# times as long to compile one. Read when the first of them is; an XLA that
# does not know the flag any more would end the process.
if importlib.metadata.version('jaxlib').startswith('0.10.'):
  os.environ.setdefault('XLA_FLAGS', '--xla_cpu_use_fusion_emitters=false')

import jax
import pytest

jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_debug_key_reuse', True)

# Programs are compiled often and run briefly.
jax.config.update('jax_disable_most_optimizations', True)

# Many tests compile the same program under another function's name.
_cache = tempfile.TemporaryDirectory()
jax.config.update('jax_compilation_cache_dir', _cache.name)
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)


@pytest.fixture
def key(request):
  """A key of the test's own, the same in every run."""
  name = request.node.name.encode()
  return jax.random.key(zlib.crc32(name))


@pytest.fixture(scope='session')
def real_data():
  """The folder with prepared TFDS sets (tfds/) and archives (npz/)."""
  folder = os.environ.get('VAE_JAX_DATA_DIR')
  if not folder:
    pytest.skip('VAE_JAX_DATA_DIR is not set: no prepared data sets')
  return pathlib.Path(folder).resolve()


@pytest.fixture
def inside(tmp_path, monkeypatch):
  """Runs the test inside an empty folder of its own."""
  monkeypatch.chdir(tmp_path)
  return tmp_path
