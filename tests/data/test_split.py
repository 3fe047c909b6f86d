import numpy as np
import pytest

from vae_jax.data import split
from vae_jax.errors import UserError

GREY = np.random.RandomState(0).randint(0, 256, (20, 4, 4), np.uint8)


def test_images_gain_a_channel():
  assert split.make_split('x', GREY).images.shape == (20, 4, 4, 1)


def test_equal_channels_become_one():
  rgb = np.repeat(GREY[..., None], 3, axis=-1)
  np.testing.assert_array_equal(
    split.make_split('x', rgb).images, GREY[..., None]
  )
  rgb[0, 0, 0, 0] ^= 1
  assert split.make_split('x', rgb).images.shape[-1] == 3


def test_zeros_and_ones_are_stretched():
  images = split.make_split('x', (GREY > 99).astype(np.uint8)).images
  assert set(np.unique(images)) == {0, 255}


@pytest.mark.parametrize(
  'images',
  [GREY.astype(float), GREY[0], GREY[:0]],
  ids=['float', 'one image', 'none'],
)
def test_what_is_no_set_of_images_is_refused(images):
  with pytest.raises(UserError, match=r'^x: images are .* must be uint8'):
    split.make_split('x', images)


def test_labels_of_another_length_are_refused():
  with pytest.raises(UserError, match='20 images but labels'):
    split.make_split('x', GREY, np.zeros(3))


def test_cut_is_a_partition_with_its_labels_and_always_the_same():
  whole = split.make_split('x', GREY, GREY[:, 0, 0])
  train, held_out = split.cut('x', whole, 5)
  assert len(train.images) == 15
  assert len(held_out.images) == 5
  both = np.concatenate([train.images, held_out.images])
  order = np.lexsort(both.reshape(20, -1).T)
  exact = np.lexsort(whole.images.reshape(20, -1).T)
  np.testing.assert_array_equal(both[order], whole.images[exact])
  np.testing.assert_array_equal(train.labels, train.images[:, 0, 0, 0])
  again, _ = split.cut('x', whole, 5)
  np.testing.assert_array_equal(train.images, again.images)


def test_mean_example_is_of_pixels_between_black_and_white_or_of_numbers():
  np.testing.assert_allclose(split.mean_example(GREY), GREY.mean(axis=0) / 255)
  reals = GREY.reshape(20, -1).astype(np.float32)
  np.testing.assert_allclose(split.mean_example(reals), reals.mean(axis=0))


@pytest.mark.parametrize('held_out', [0, 20])
def test_an_empty_part_is_refused(held_out):
  with pytest.raises(UserError, match='too few'):
    split.cut('x', split.make_split('x', GREY), held_out)
