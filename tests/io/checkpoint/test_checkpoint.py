import hashlib
import io
import json
import logging
import os
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.errors import UserError
from vae_jax.io import checkpoint, files
from vae_jax.io.checkpoint import CheckpointError, manifest as manifests
from vae_jax.io.checkpoint.arrays import to_numpy

TREE = {
  'params': {
    'w': jnp.arange(6.0).reshape(2, 3),
    'b': jnp.ones(3, jnp.bfloat16),
  },
  'step': jnp.int32(7),
  'key': jax.random.key(3),
}


def assert_same(a, b):
  raw = lambda x: (
    jax.random.key_data(x)
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    else x
  )
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    assert x.dtype == y.dtype
    np.testing.assert_array_equal(np.asarray(raw(x)), np.asarray(raw(y)))


def test_a_pytree_is_restored_exactly(tmp_path):
  checkpoint.save(tmp_path, 7, TREE)
  assert_same(checkpoint.restore(tmp_path, 7, TREE), TREE)
  target = jax.eval_shape(lambda: TREE)
  step, tree = checkpoint.restore_latest(tmp_path, target)
  assert step == 7
  assert_same(tree, TREE)


def test_old_checkpoints_are_removed(tmp_path):
  for step in (1, 20, 3000):
    checkpoint.save(tmp_path, step, TREE, keep=2)
  assert checkpoint.steps(tmp_path) == [20, 3000]
  assert len(list(tmp_path.iterdir())) == 4


def test_later_steps_are_removed(tmp_path):
  for step in (1, 2, 3):
    checkpoint.save(tmp_path, step, TREE, keep=3)
  checkpoint.save(tmp_path, 2, TREE, keep=1)
  assert checkpoint.steps(tmp_path) == [2]


def test_incomplete_checkpoints_are_removed_and_other_files_are_kept(tmp_path):
  checkpoint.save(tmp_path, 1, TREE)
  stays = [tmp_path / name for name in ('notes.txt', 'step_1.json', 'best')]
  for path in stays:
    path.touch()
  (tmp_path / 'step_000000005.npz').touch()
  for step in (1, 3):
    (tmp_path / f'.step_{step:09d}.npz.tmp').touch()
  checkpoint.save(tmp_path, 2, TREE)
  ours = {f'step_{n:09d}.{end}' for n in (1, 2) for end in ('json', 'npz')}
  assert {p.name for p in tmp_path.iterdir()} == ours | {p.name for p in stays}


def test_a_part_of_the_tree_is_restored(tmp_path):
  checkpoint.save(tmp_path, 7, TREE)
  params = jax.eval_shape(lambda: TREE['params'])
  part = checkpoint.restore(tmp_path, 7, params, within='params')
  assert_same(part, TREE['params'])
  with pytest.raises(CheckpointError, match='no leaf param/b'):
    checkpoint.restore(tmp_path, 7, params, within='param')
  with pytest.raises(CheckpointError, match=r"unknown.*\['params/w'\]"):
    checkpoint.restore(tmp_path, 7, {'b': params['b']}, within='params')


def test_a_missing_folder_has_no_checkpoints(tmp_path):
  assert checkpoint.steps(tmp_path / 'none') == []
  with pytest.raises(CheckpointError, match='has no checkpoint'):
    checkpoint.restore_latest(tmp_path / 'none', TREE)


@pytest.mark.parametrize('suffix', ['.npz', '.json'])
def test_every_flipped_bit_is_detected(tmp_path, suffix):
  path = checkpoint.save(tmp_path, 7, TREE).with_suffix(suffix)
  good = path.read_bytes()
  random = np.random.RandomState(0)
  for _ in range(100):
    bad = bytearray(good)
    bad[random.randint(len(bad))] ^= 1 << random.randint(8)
    path.write_bytes(bytes(bad))
    try:
      tree = checkpoint.restore(tmp_path, 7, TREE)
    except CheckpointError:
      continue
    # The bit was in white space of the manifest.
    assert json.loads(bytes(bad)) == json.loads(good)
    assert_same(tree, TREE)


@pytest.mark.parametrize('suffix', ['.npz', '.json'])
def test_every_truncation_is_detected(tmp_path, suffix):
  path = checkpoint.save(tmp_path, 7, TREE).with_suffix(suffix)
  good = path.read_bytes()
  for length in np.linspace(0, len(good) - 1, 25).astype(int):
    path.write_bytes(good[:length])
    with pytest.raises(CheckpointError, match='damaged'):
      checkpoint.restore(tmp_path, 7, TREE)


def test_a_damaged_newest_checkpoint_is_skipped_with_a_warning(
  tmp_path, caplog
):
  checkpoint.save(tmp_path, 1, TREE)
  path = checkpoint.save(tmp_path, 2, TREE)
  path.write_bytes(b'')
  with caplog.at_level(logging.WARNING):
    step, _ = checkpoint.restore_latest(tmp_path, TREE)
  assert step == 1
  assert 'step_000000002' in caplog.text


@pytest.mark.parametrize(
  ('change', 'leaf'),
  [
    (lambda t: t | {'step': jnp.float32(7)}, 'step'),
    (
      lambda t: t | {'params': t['params'] | {'w': jnp.ones((3, 2))}},
      'params/w',
    ),
    (lambda t: t | {'extra': jnp.ones(1)}, 'extra'),
    (lambda t: {'params': t['params']}, 'key'),
  ],
  ids=['dtype', 'shape', 'missing', 'surplus'],
)
def test_a_checkpoint_of_another_model_is_refused_with_the_leaf_named(
  tmp_path, change, leaf
):
  checkpoint.save(tmp_path, 1, TREE)
  with pytest.raises(CheckpointError, match=leaf):
    checkpoint.restore(tmp_path, 1, change(dict(TREE)))


def test_symbolic_links_are_not_followed(tmp_path):
  checkpoint.save(tmp_path / 'a', 1, TREE)
  (tmp_path / 'b').mkdir()
  for path in (tmp_path / 'a').iterdir():
    (tmp_path / 'b' / path.name).symlink_to(path)
  with pytest.raises(CheckpointError, match='is a symbolic link'):
    checkpoint.restore(tmp_path / 'b', 1, TREE)
  (tmp_path / 'c').symlink_to(tmp_path / 'a')
  for use in (
    lambda: checkpoint.restore_latest(tmp_path / 'c', TREE),
    lambda: checkpoint.save(tmp_path / 'c', 9, TREE),
  ):
    with pytest.raises(UserError, match='is a symbolic link'):
      use()
  assert checkpoint.steps(tmp_path / 'a') == [1]


class Loud:
  """Fails the test when a pickle of it is loaded."""

  def __reduce__(self):
    return (pytest.fail, ('a pickle was read',))


def forge(path, arrays, **manifest):
  """Writes a checkpoint of step 7 with forged arrays and a valid digest."""
  good = checkpoint.save(path, 7, TREE)
  good.write_bytes(arrays)
  record = json.loads(good.with_suffix('.json').read_text())
  record |= {'sha256': hashlib.sha256(arrays).hexdigest()} | manifest
  good.with_suffix('.json').write_text(json.dumps(record))


def archive(**arrays):
  """Returns the archive of the tree with some arrays replaced."""
  content = io.BytesIO()
  with zipfile.ZipFile(content, 'w') as file:
    for i, leaf in enumerate(jax.tree.leaves(TREE)):
      data = io.BytesIO()
      np.save(data, to_numpy(leaf))
      file.writestr(f'arr_{i}.npy', arrays.get(f'arr_{i}', data.getvalue()))
  return content.getvalue()


def header_of(shape):
  content = io.BytesIO()
  header = {'descr': '<f4', 'fortran_order': False, 'shape': shape}
  np.lib.format.write_array_header_1_0(content, header)
  return content.getvalue()


def pickled():
  content = io.BytesIO()
  np.save(content, np.array([[Loud()] * 3] * 2), allow_pickle=True)
  return content.getvalue()


def bomb():
  content = io.BytesIO()
  with zipfile.ZipFile(content, 'w', zipfile.ZIP_DEFLATED) as file:
    file.writestr('arr_0.npy', bytes(10**7))
  return content.getvalue()


@pytest.mark.parametrize(
  'arrays',
  [
    archive(arr_2=pickled()),
    archive(arr_2=header_of((10**6, 10**6))),
    archive(arr_2=header_of((3, 2)) + bytes(24)),
    archive(arr_2=header_of((2, 3))),
    archive(arr_2=header_of((2, 3)) + bytes(25)),
    archive(arr_2=b'\x93NUMPY\x09\x00'),
    archive(arr_2=b'\x93NUMPY\x01\x00\x10\x00__import__("os")'),
    archive(arr_2=b''),
    archive()[:-30],
    bomb(),
    b'',
    bytes(2000),
  ],
  ids=[
    *(
      'pickle',
      'huge shape',
      'turned',
      'no data',
      'too much data',
      'version',
      'code',
    ),
    *('empty array', 'no directory', 'bomb', 'empty', 'zeros'),
  ],
)
def test_a_forged_archive_is_refused(tmp_path, arrays):
  forge(tmp_path, arrays)
  with pytest.raises(CheckpointError, match='damaged'):
    checkpoint.restore(tmp_path, 7, TREE)


def test_an_unchanged_archive_of_the_forger_is_restored(tmp_path):
  forge(tmp_path, archive())
  assert_same(checkpoint.restore(tmp_path, 7, TREE), TREE)


def test_an_archive_larger_than_its_leaves_is_refused(tmp_path):
  forge(tmp_path, archive() + bytes(10_000))
  with pytest.raises(CheckpointError, match='larger than its 4 leaves'):
    checkpoint.restore(tmp_path, 7, TREE)


@pytest.mark.parametrize(
  'manifest',
  [
    {'leaves': []},
    {'leaves': 'all'},
    {'leaves': [['w', [-1], 'float32']] * 4},
    {'key_impl': [None] * 9},
    {'key_impl': ['no such', 'one', 'at', 'all']},
    {'step': 8},
    {'sha256': None},
  ],
)
def test_a_forged_manifest_is_refused(tmp_path, manifest):
  forge(tmp_path, archive(), **manifest)
  with pytest.raises(CheckpointError):
    checkpoint.restore(tmp_path, 7, TREE)


@pytest.mark.parametrize('content', ['[' * 10**5, '9' * 5000, '{"step": 7}'])
def test_an_invalid_manifest_is_refused(tmp_path, content):
  path = checkpoint.save(tmp_path, 7, TREE)
  path.with_suffix('.json').write_text(content)
  with pytest.raises(CheckpointError, match='damaged'):
    checkpoint.restore(tmp_path, 7, TREE)


def test_an_oversized_manifest_is_refused(tmp_path, monkeypatch):
  checkpoint.save(tmp_path, 7, TREE)
  monkeypatch.setattr(manifests, 'MANIFEST_BYTES', 100)
  with pytest.raises(CheckpointError, match='expected at most 100'):
    checkpoint.restore(tmp_path, 7, TREE)


def test_a_failed_save_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
  checkpoint.save(tmp_path, 1, TREE)

  def full(*args):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(files.os, 'fsync', full)
  with pytest.raises(OSError, match='No space'):
    checkpoint.save(tmp_path, 2, TREE)
  monkeypatch.undo()
  assert checkpoint.steps(tmp_path) == [1]
  assert_same(checkpoint.restore(tmp_path, 1, TREE), TREE)
  assert len(list(tmp_path.iterdir())) == 2


class Killed(BaseException):
  """The process ends at once."""


@pytest.mark.parametrize('failure', [OSError(28, 'No space left'), Killed()])
def test_step_saved_again_loses_neither_state_at_any_moment(
  failure, tmp_path, monkeypatch
):
  """A failure before or after each change of a file, of which there are n."""
  new, done = TREE | {'step': jnp.int32(8)}, 0
  # Waiting for the disk takes time and does not matter here.
  monkeypatch.setattr(files.os, 'fsync', lambda descriptor: None)
  changes, os_open = ('open', 'replace', 'unlink'), os.open

  def watch(count, function):
    def watched(path, *args, **kwargs):
      is_read = function is os_open and not args[0] & os.O_CREAT
      if is_read or not str(path).startswith(str(tmp_path)):
        return function(path, *args, **kwargs)
      count.append(function.__name__)
      if len(count) == moment:
        raise failure
      found = function(path, *args, **kwargs)
      count.append(function.__name__)
      if len(count) == moment:
        raise failure
      return found

    return watched

  for moment in range(1, 100):
    folder, count = tmp_path / str(moment), []
    checkpoint.save(folder, 7, TREE, keep=1)
    try:
      with monkeypatch.context() as patch:
        for name in changes:
          patch.setattr(files.os, name, watch(count, getattr(os, name)))
        checkpoint.save(folder, 7, new, keep=1)
      is_saved = True
    except (OSError, Killed):
      is_saved = False
    # Restored by itself, and after the same step is saved once more.
    found = checkpoint.restore(folder, 7, TREE)
    assert int(found['step']) in ([8] if is_saved else [7, 8])
    assert_same(found | {'step': 0 * found['step'] + 7}, TREE)
    assert checkpoint.newest_good(folder) == 7
    done += not is_saved
    checkpoint.save(folder, 7, TREE, keep=1)
    assert_same(checkpoint.restore(folder, 7, TREE), TREE)
    assert sorted(x.suffixes for x in folder.iterdir()) == [['.json'], ['.npz']]
    if len(count) < moment:
      break
  assert is_saved
  assert done >= 10


def test_forged_dtype_is_damage(tmp_path):
  forge(tmp_path, archive(), leaves=[['w', [1], 'no such']] * 4)
  assert checkpoint.newest_good(tmp_path) is None
  checkpoint.save(tmp_path, 7, TREE)
  assert checkpoint.newest_good(tmp_path) == 7


def test_names_in_a_forged_manifest_cannot_steer_the_terminal(tmp_path):
  leaves = [[f'\x1b]0;title\x07{i}', [1], 'float32'] for i in range(4)]
  forge(tmp_path, archive(), leaves=leaves)
  for target, within in ((TREE, ''), ({}, '')):
    with pytest.raises(CheckpointError) as error:
      checkpoint.restore(tmp_path, 7, target, within=within)
    assert str(error.value).isprintable()


def test_another_precision_is_named_with_its_setting(tmp_path):
  checkpoint.save(tmp_path, 1, {'a': np.zeros(2, np.float32)})
  with pytest.raises(CheckpointError, match='Set JAX_ENABLE_X64 as when'):
    checkpoint.restore(tmp_path, 1, {'a': np.zeros(2, np.float64)})
