"""Batches from disk are those from memory, and no state is kept."""

import threading
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from vae_jax.data import feed
from vae_jax.data.read_ahead import read_ahead
from vae_jax.data.streamed import Rows, Streamed
from vae_jax.errors import ReadError
from vae_jax.training import epoch, mesh as meshes

IMAGES = np.random.RandomState(0).randint(0, 256, (47, 2, 2, 1), np.uint8)
BATCH, EPOCHS = 4, 3
STEPS = len(IMAGES) // BATCH


def state(step, number=None):
  number = step // STEPS if number is None else number
  return SimpleNamespace(
    epoch=jnp.int32(number), train=SimpleNamespace(step=jnp.int32(step))
  )


@pytest.fixture
def make(key, monkeypatch):
  """Makes feeds whose blocks have three steps."""
  monkeypatch.setattr(feed, '_BUFFER_BYTES', 3 * BATCH * 4 + 1)

  def make(read=lambda rows: Rows(IMAGES[rows], None)):
    x = Streamed(read, IMAGES.shape)
    return feed.Feed(key, x, BATCH, EPOCHS)

  return make


def batch_of(batches, step):
  return batches.take(jnp.int32(step))


def expected(key, step):
  rows = epoch.batch_indices(key, step // STEPS, len(IMAGES), BATCH)
  return IMAGES[np.asarray(rows)[step % STEPS]]


def test_every_batch_is_that_of_the_resident_set(make, key):
  batches = make()
  assert batches.steps_per_block == 3
  resident = epoch.make_resident(key, jnp.asarray(IMAGES), BATCH)
  shapes = set()
  for step in range(EPOCHS * STEPS):
    found, held = batches(state(step)), resident(state(step))
    np.testing.assert_array_equal(batch_of(found, step), batch_of(held, step))
    np.testing.assert_array_equal(batch_of(found, step), expected(key, step))
    shapes.add((found.data.shape, found.rows.shape))
  assert shapes == {((12, 2, 2, 1), (3, 4))}


def test_devices_of_a_mesh_share_the_batches_of_a_block(key, make):
  one = make()
  mesh = meshes.make_mesh(jax.devices()[:1])
  several = feed.Feed(key, one._x, BATCH, EPOCHS, mesh)
  replicated = NamedSharding(mesh, PartitionSpec())
  shared = NamedSharding(mesh, PartitionSpec(None, meshes.EXAMPLES))
  for step in range(EPOCHS * STEPS):
    found = several(state(step))
    assert found.rows is None
    assert found.shape == (3, BATCH)
    assert found.numbers_per_example == 4
    assert (found.data.sharding, found.first.sharding) == (shared, replicated)
    np.testing.assert_array_equal(batch_of(found, step), expected(key, step))
  resident, _ = feed.make_batches(key, IMAGES, BATCH, EPOCHS, mesh)
  assert resident(state(0)).data.sharding == replicated


@pytest.mark.parametrize('start', [1, 10, 11, 32])
def test_feed_starts_at_any_step_and_turns_back(start, make, key):
  batches = make()
  for step in (start, 0, start, 5, 5):
    found = batch_of(batches(state(step)), step)
    np.testing.assert_array_equal(found, expected(key, step))


def test_blocks_are_read_once_and_none_after_the_last_epoch(make):
  lock, seen = threading.Lock(), []

  def read(rows):
    with lock:
      seen.append(len(rows))
    return Rows(IMAGES[rows], None)

  batches = make(read)
  for step in range(EPOCHS * STEPS):
    batches(state(step))
  assert sorted(seen) == sorted([12, 12, 12, 8] * EPOCHS)


def test_set_smaller_than_a_block_is_one_block(key):
  x = Streamed(lambda rows: Rows(IMAGES[rows], None), IMAGES.shape)
  batches, steps = feed.make_batches(key, x, BATCH, EPOCHS)
  assert steps == STEPS
  assert batches(state(0)).rows.shape == (STEPS, BATCH)
  resident, steps = feed.make_batches(key, IMAGES, BATCH, EPOCHS)
  assert steps == STEPS
  assert resident(state(0)).data.shape == IMAGES.shape


def test_failed_read_is_raised_and_may_be_tried_again(make, key):
  broken = [True]

  def read(rows):
    if broken[0]:
      raise ReadError('a.npy: cannot be read')
    return Rows(IMAGES[rows], None)

  batches = make(read)
  with pytest.raises(ReadError, match=r'^a\.npy: cannot be read$'):
    batches(state(4))
  broken[0] = False
  np.testing.assert_array_equal(
    batch_of(batches(state(4)), 4), expected(key, 4)
  )


def test_items_are_read_in_advance_in_order_and_not_after_the_end():
  begun = threading.Event()

  def read(number):
    if number == 3:
      begun.set()
    return number**2

  items = read_ahead(read, 2, 9)
  assert next(items) == 4
  assert begun.wait(timeout=30)
  assert list(items) == [x**2 for x in range(3, 9)]
  assert list(read_ahead(read, 4, 4)) == []
