"""Fuzzing of flags, files and checkpoints: a clear error or the truth."""

import contextlib
import io
import json
import zipfile

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from vae_jax.errors import UserError
from vae_jax.io import checkpoint, logger
from vae_jax.io.checkpoint import CheckpointError
from vae_jax.runs import flags
from vae_jax.runs.config import Config
from vae_jax.runs.folder import CONFIG, RunFolder
from vae_jax.runs.record import Record

bounded = hypothesis.settings(
  max_examples=150,
  deadline=None,
  derandomize=True,
  database=None,
  suppress_health_check=list(hypothesis.HealthCheck),
)


def outcome(read, *args):
  """Returns (result, ''), or (None, error message)."""
  try:
    return read(*args), ''
  except UserError as error:
    return None, str(error)
  except SystemExit as stop:
    return None, f'exit {stop.code}'


NAMES = [*Config().flat()]
NUMBERS = st.one_of(
  st.integers().map(str),
  st.floats().map(str),
  st.sampled_from(
    ['1e999', '-0', '0x10', '1_0', '\uff19', '9' * 5000, '', '1,2']
  ),
)
VALUES = st.one_of(NUMBERS, st.text(), st.sampled_from(['..', '../x', '\x00']))
FLAGS = st.one_of(
  st.builds('--{}={}'.format, st.sampled_from(NAMES), VALUES),
  st.builds('--no{}'.format, st.sampled_from(NAMES)),
  st.text(max_size=9).map('--{}'.format),
  st.text(max_size=9),
)
JSON = st.recursive(
  st.one_of(*(st.none(), st.booleans(), st.integers(), st.floats(), st.text())),
  lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
  max_leaves=6,
)


@pytest.mark.slow
@bounded
@hypothesis.given(st.lists(FLAGS, max_size=4))
def test_command_line_gives_a_config_or_one_clear_error(argv):
  hypothesis.assume(not any('flagfile' in argument for argument in argv))
  config, error = outcome(flags.parse, Config, ['train', *argv])
  if config:
    # Accepted options are accepted again.
    assert Config(**config.flat()) == config
  else:
    assert error
    assert not error.startswith('exit') or error == 'exit 0'


PARTS = [
  (part, name) for part, own in Config().record().items() for name in own
]


@pytest.mark.slow
@bounded
@hypothesis.given(
  place=st.sampled_from(PARTS), value=JSON, form=st.integers(0, 3)
)
def test_config_file_gives_a_record_or_one_clear_error(
  tmp_path, place, value, form
):
  part, name = place
  record = Config().record()
  content = (
    record | {part: record[part] | {name: value}},
    record | {part: value},
    record | {'data_shape': value},
    Config().flat() | {name: value},
  )[form]
  (tmp_path / CONFIG).write_text(json.dumps(content))
  found, error = outcome(RunFolder(tmp_path).read_record)
  assert isinstance(found, Record) or 'damaged' in error


@pytest.mark.slow
@bounded
@hypothesis.given(content=st.one_of(st.binary(), JSON.map(json.dumps)))
def test_metrics_file_gives_records_or_one_clear_error(tmp_path, content):
  path = tmp_path / 'metrics.jsonl'
  raw = content if isinstance(content, bytes) else content.encode()
  path.write_bytes(raw + b'\n')
  records, error = outcome(logger.read_metrics, path)
  if records is None:
    assert 'damaged' in error
  else:
    assert all({'step', 'epoch', 'split'} <= set(r) for r in records)


TREE = {'a': jnp.arange(6.0).reshape(2, 3), 'key': jax.random.key(3)}


def same(tree):
  return np.array_equal(tree['a'], TREE['a']) and np.array_equal(
    jax.random.key_data(tree['key']), jax.random.key_data(TREE['key'])
  )


EDITS = st.lists(
  st.tuples(
    st.sampled_from(['.npz', '.json']),
    st.integers(0, 2**16),
    st.one_of(st.binary(max_size=8), st.integers(0, 9)),
  ),
  min_size=1,
  max_size=4,
)


def edit(content, place, change):
  """Overwrites bytes at a place, or removes some."""
  place %= len(content) + 1
  if isinstance(change, int):
    return content[:place] + content[place + change :]
  return content[:place] + change + content[place + len(change) :]


@bounded
@hypothesis.given(edits=EDITS)
def test_edited_checkpoint_is_refused_or_restored_unchanged(tmp_path, edits):
  path = checkpoint.save(tmp_path, 7, TREE)
  for suffix, place, change in edits:
    file = path.with_suffix(suffix)
    file.write_bytes(edit(file.read_bytes(), place, change))
  with contextlib.suppress(CheckpointError):
    assert same(checkpoint.restore(tmp_path, 7, TREE))


MEMBERS = st.lists(
  st.tuples(
    st.sampled_from(['arr_0.npy', 'arr_1.npy', '../x', 'a']), st.binary()
  ),
  max_size=3,
)


@bounded
@hypothesis.given(members=MEMBERS, junk=st.binary(max_size=64))
def test_archive_of_other_content_is_refused(tmp_path, members, junk):
  """The digest is right, as the author of the archive wrote the manifest."""
  path = checkpoint.save(tmp_path, 7, TREE)
  content = io.BytesIO()
  with zipfile.ZipFile(content, 'w') as archive:
    for name, data in dict(members).items():
      archive.writestr(name, data)
  path.write_bytes(junk + content.getvalue())
  manifest = json.loads(path.with_suffix('.json').read_text())
  manifest['sha256'] = checkpoint.store.hashlib.sha256(
    path.read_bytes()
  ).hexdigest()
  path.with_suffix('.json').write_text(json.dumps(manifest))
  with pytest.raises(CheckpointError):
    checkpoint.restore(tmp_path, 7, TREE)
  assert {p.suffix for p in tmp_path.rglob('*')} <= {'.npz', '.json'}
