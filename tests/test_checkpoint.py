import json
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax import checkpoint
from vae_jax.checkpoint import CheckpointError

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


def test_any_pytree_comes_back(tmp_path):
  checkpoint.save(tmp_path, 7, TREE)
  assert_same(checkpoint.restore(tmp_path, 7, TREE), TREE)
  target = jax.eval_shape(lambda: TREE)
  step, tree = checkpoint.restore_latest(tmp_path, target)
  assert step == 7
  assert_same(tree, TREE)


def test_only_the_newest_stay(tmp_path):
  for step in (1, 20, 3000):
    checkpoint.save(tmp_path, step, TREE, keep=2)
  assert checkpoint.steps(tmp_path) == [20, 3000]
  assert len(list(tmp_path.iterdir())) == 4


def test_no_folder_has_no_steps(tmp_path):
  assert checkpoint.steps(tmp_path / 'none') == []
  with pytest.raises(CheckpointError, match='holds no checkpoint'):
    checkpoint.restore_latest(tmp_path / 'none', TREE)


@pytest.mark.parametrize('suffix', ['.npz', '.json'])
def test_no_flipped_bit_is_silent(tmp_path, suffix):
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
    # White space of the manifest carries nothing.
    assert json.loads(bytes(bad)) == json.loads(good)
    assert_same(tree, TREE)


@pytest.mark.parametrize('suffix', ['.npz', '.json'])
def test_no_truncation_is_silent(tmp_path, suffix):
  path = checkpoint.save(tmp_path, 7, TREE).with_suffix(suffix)
  good = path.read_bytes()
  for length in np.linspace(0, len(good) - 1, 25).astype(int):
    path.write_bytes(good[:length])
    with pytest.raises(CheckpointError, match='damaged'):
      checkpoint.restore(tmp_path, 7, TREE)


def test_a_bad_newest_falls_back_with_a_warning(tmp_path, caplog):
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
def test_another_model_is_refused_by_the_leafs_name(tmp_path, change, leaf):
  checkpoint.save(tmp_path, 1, TREE)
  with pytest.raises(CheckpointError, match=leaf):
    checkpoint.restore(tmp_path, 1, change(dict(TREE)))


def test_no_symbolic_link_is_followed(tmp_path):
  checkpoint.save(tmp_path / 'a', 1, TREE)
  (tmp_path / 'b').mkdir()
  for path in (tmp_path / 'a').iterdir():
    (tmp_path / 'b' / path.name).symlink_to(path)
  with pytest.raises(CheckpointError, match='cannot be read'):
    checkpoint.restore(tmp_path / 'b', 1, TREE)


def test_a_failed_write_leaves_the_old_one_whole(tmp_path, monkeypatch):
  checkpoint.save(tmp_path, 1, TREE)

  def full(*args):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(checkpoint.os, 'fsync', full)
  with pytest.raises(OSError, match='No space'):
    checkpoint.save(tmp_path, 2, TREE)
  monkeypatch.undo()
  assert checkpoint.steps(tmp_path) == [1]
  assert_same(checkpoint.restore(tmp_path, 1, TREE), TREE)
  assert len(list(tmp_path.iterdir())) == 2
