"""Strict settings for every test, and shared fixtures."""

import gc
import importlib.metadata
import os
import pathlib
import shutil
import tempfile
import zlib

JAXLIB = importlib.metadata.version('jaxlib')

# Tests compile many programs and run each briefly. XLA would split the code of
# each into parts for its threads, and its newer emitters take three times as
# long. Flags must be set before jax is imported; a release without one of them
# would end the process.
FLAGS = []
if JAXLIB.startswith(('0.10.', '0.11.', '0.12.')):
  FLAGS.append('--xla_cpu_parallel_codegen_split_count=1')
if JAXLIB.startswith('0.10.'):
  FLAGS.append('--xla_cpu_use_fusion_emitters=false')
os.environ.setdefault('XLA_FLAGS', ' '.join(FLAGS))

import jax
import pytest

jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_debug_key_reuse', True)
jax.config.update('jax_disable_most_optimizations', True)
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)
# Its path, which differs between processes, would be part of every key.
jax.config.update('jax_persistent_cache_enable_xla_caches', 'none')


def _cpu():
  """Returns a number for the processor's features: programs depend on them."""
  path = pathlib.Path('/proc/cpuinfo')
  lines = path.read_text().splitlines() if path.exists() else []
  flags = [line for line in lines if line.startswith(('flags', 'Features'))]
  return zlib.crc32(flags[0].encode()) if flags else 0


# Compiled programs of former runs make a run faster; none is needed to pass.
COMPILED = (
  pathlib.Path(__file__).parents[1]
  / '.pytest_cache'
  / f'xla-{JAXLIB}-{_cpu():x}'
)
_MOST_BYTES = 2 * 2**30


def pytest_configure(config):
  """Gives each process a cache of its own, with links to the shared files.

  jax writes cache files in place: another process could read half of one.
  """
  COMPILED.mkdir(parents=True, exist_ok=True)
  config.compiled = pathlib.Path(tempfile.mkdtemp(dir=COMPILED, prefix='own-'))
  for path in COMPILED.glob('*-cache'):
    os.link(path, config.compiled / path.name)
  jax.config.update('jax_compilation_cache_dir', str(config.compiled))


def pytest_unconfigure(config):
  """Adds the programs that this process compiled to the shared files."""
  used = sum(path.stat().st_size for path in COMPILED.glob('*-cache'))
  for path in config.compiled.glob('*-cache'):
    shared = COMPILED / path.name
    if not shared.exists() and used < _MOST_BYTES:
      used += path.stat().st_size
      try:
        os.link(path, shared)
      except FileExistsError:  # Another process added it just now.
        continue
  shutil.rmtree(config.compiled, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
  """Makes a case slow that the test's mark `quick` does not name.

  `@pytest.mark.quick('Normal', 'Gamma')` keeps in the quick suite the cases
  whose id is, or has between its hyphens, one of these names.
  """
  known, used = set(), set()
  for item in items:
    for mark in item.iter_markers('quick'):
      test, case = item.nodeid.split('[')[0], item.callspec.id
      names = {*mark.args} & {case, *case.split('-')}
      if not names:
        item.add_marker(pytest.mark.slow)
      known |= {(test, name) for name in mark.args}
      used |= {(test, name) for name in names}
  unused = sorted(known - used)
  if unused and not any('::' in arg for arg in config.args):
    raise pytest.UsageError(f'no case has a name of mark quick: {unused}')


def pytest_collection_finish():
  """Scans fewer objects for garbage: a tenth of the session's time.

  Tracing makes many objects that live briefly; modules and tests stay.
  """
  gc.collect()
  gc.freeze()
  gc.set_threshold(100_000, 20, 50)


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
