import numpy as np
import pytest

from vae_jax.data import facts, split
from vae_jax.data.streamed import Rows, Split, Streamed

GREY = np.random.RandomState(0).randint(0, 256, (20, 4, 4), np.uint8)
LABELS = np.arange(20) % 3


def on_disk(images, labels=None):
  """Returns a split whose rows are read by number."""
  own = lambda rows: None if labels is None else labels[rows]
  read = lambda rows: Rows(images[rows], own(rows))
  return Split(Streamed(read, images.shape), None)


def test_mean_example_scales_pixels_but_not_real_numbers():
  np.testing.assert_allclose(facts.mean_example(GREY), GREY.mean(axis=0) / 255)
  reals = GREY.reshape(20, -1).astype(np.float32)
  np.testing.assert_allclose(facts.mean_example(reals), reals.mean(axis=0))


def test_digest_depends_on_every_pixel_label_and_shape():
  labels = np.arange(20)
  whole = split.make_split('x', GREY, labels)
  other = whole.x.copy()
  other[3, 2, 1] ^= 1
  digests = [
    facts.digest(each)
    for each in (
      whole,
      whole._replace(x=other),
      whole._replace(labels=labels[::-1]),
      whole._replace(labels=None),
      Split(whole.x[:-1], labels[:-1]),
      Split(whole.x.reshape(20, 2, 8, 1), labels),
    )
  ]
  assert len(set(digests)) == len(digests)
  assert all(len(each) == 64 for each in digests)
  by_columns = whole._replace(x=np.asfortranarray(whole.x))
  assert facts.digest(by_columns) == digests[0]


def test_scale_about_the_mean_is_that_of_the_dequantised_pixels():
  images = np.random.RandomState(0).randint(0, 256, (2500, 3, 2, 1))
  images = images.astype(np.uint8)
  exact = np.sqrt(np.var(images / 255, axis=0).mean() + 1 / 12 / 256**2)
  np.testing.assert_allclose(facts.scale_about_mean(images), exact, rtol=1e-9)
  flat = np.full((9, 2, 2, 1), 7, np.uint8)
  exact = 1 / np.sqrt(12) / 256
  np.testing.assert_allclose(facts.scale_about_mean(flat), exact, rtol=1e-9)
  reals = np.array([[1.0, 2.0], [3.0, 6.0]], np.float32)
  np.testing.assert_allclose(facts.scale_about_mean(reals), np.sqrt(2.5))
  assert facts.scale_about_mean(0 * reals) > 0


@pytest.fixture
def small_chunks(monkeypatch):
  """Takes 16 bytes, one image, at a time."""
  monkeypatch.setattr('vae_jax.data.streamed._CHUNK_BYTES', 40)


@pytest.mark.parametrize('labels', [None, LABELS, np.array(['a', 'b'] * 10)])
def test_facts_of_images_on_disk_are_those_in_memory(labels, small_chunks):
  held = split.make_split('x', GREY, labels)
  streamed = on_disk(held.x, labels)
  assert facts.digest(streamed) == facts.digest(held)
  np.testing.assert_array_equal(
    facts.mean_example(streamed.x), facts.mean_example(held.x)
  )
  assert facts.scale_about_mean(streamed.x) == facts.scale_about_mean(held.x)
  assert facts.grey_share(streamed.x) == facts.grey_share(held.x)
  assert facts.grey_share(held.x) == np.mean((GREY > 0) & (GREY < 255))


def test_facts_take_one_pass(small_chunks):
  seen = []
  read = lambda rows: seen.extend(rows) or Rows(GREY[rows], None)
  whole = Split(Streamed(read, GREY.shape), None)
  for fact in (facts.mean_example, facts.scale_about_mean, facts.grey_share):
    fact(whole.x)
  facts.digest(whole)
  assert sorted(seen) == list(range(20))
