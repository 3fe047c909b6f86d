import jax
import jax.monitoring
import numpy as np
import pytest

from tests.test_bits import digests
from vae_jax.errors import UserError
from vae_jax.runs import Config, compile_cache, train

_SETTINGS = (
  'jax_compilation_cache_dir',
  'jax_persistent_cache_min_compile_time_secs',
  'jax_persistent_cache_min_entry_size_bytes',
  'jax_persistent_cache_enable_xla_caches',
)


@pytest.fixture
def events():
  """Counts of programs that the cache had and had not; restores settings."""
  before = {name: jax.config.values[name] for name in _SETTINGS}
  counts = {'cache_hits': 0, 'cache_misses': 0}

  def count(event, **labels):
    name = event.split('/')[-1]
    if name in counts:
      counts[name] += 1

  jax.monitoring.register_event_listener(count)
  yield counts
  jax.monitoring.unregister_event_listener(count)
  for name, value in before.items():
    jax.config.update(name, value)
  compile_cache.compilation_cache.reset_cache()


def compute():
  """Runs a program that no other test has compiled in this process."""
  return jax.jit(lambda x: x * 3.25 + 1)(np.arange(5.0, dtype=np.float32))


def test_a_program_is_read_and_a_damaged_one_is_a_warning(tmp_path, events):
  path = compile_cache.enable(tmp_path / 'new' / 'cache')
  first = compute()
  assert events == {'cache_hits': 0, 'cache_misses': 1}
  (entry,) = path.glob('*-cache')
  np.testing.assert_array_equal(compute(), first)
  assert events['cache_hits'] == 1
  entry.write_bytes(entry.read_bytes()[:50])
  with pytest.warns(UserWarning, match='Error reading persistent'):
    np.testing.assert_array_equal(compute(), first)


def test_another_processor_has_another_folder(tmp_path, monkeypatch):
  names = {compile_cache.name()}
  for flags in ('sse2 avx2', 'sse2'):
    info = tmp_path / 'cpuinfo'
    info.write_text(f'model name\t: A\nflags\t\t: {flags}\n\nmodel name: B\n')
    monkeypatch.setattr(compile_cache, '_CPU_INFO', info)
    names.add(compile_cache.name())
  info.write_text('model name\t: A\nMHz: 5\nflags\t\t: sse2\n\n')
  names.add(compile_cache.name())
  assert len(names) == 3
  assert all(name.startswith('jaxlib-') for name in names)


def test_no_folder_keeps_the_settings_of_jax():
  before = jax.config.values['jax_compilation_cache_dir']
  assert compile_cache.enable('') is None
  assert jax.config.values['jax_compilation_cache_dir'] == before


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
  path = tmp_path / 'file'
  path.touch()
  with pytest.raises(UserError, match=r'--compile_cache=.*: got a file'):
    train(Config(compile_cache=str(path)), folder=tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


@pytest.mark.slow
def test_a_second_run_compiles_less_and_has_the_same_bits(tmp_path, events):
  config = Config(
    **{'num_epochs': 1, 'hidden_sizes': (8,), 'latent_dim': 2},
    **{'report': 'none', 'compile_cache': str(tmp_path / 'cache')},
  )
  misses = []
  for name in ('first', 'second'):
    before = events['cache_misses']
    train(config, folder=tmp_path / name)
    misses.append(events['cache_misses'] - before)
  assert misses[0] > 5 * misses[1]
  assert digests(tmp_path / 'first') == digests(tmp_path / 'second')
