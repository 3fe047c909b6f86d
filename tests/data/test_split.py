import numpy as np
import pytest

from vae_jax.data import split
from vae_jax.errors import UserError

GREY = np.random.RandomState(0).randint(0, 256, (20, 4, 4), np.uint8)


def test_a_channel_dimension_is_added():
  assert split.make_split('x', GREY).x.shape == (20, 4, 4, 1)


def test_equal_channels_are_reduced_to_one():
  rgb = np.repeat(GREY[..., None], 3, axis=-1)
  np.testing.assert_array_equal(split.make_split('x', rgb).x, GREY[..., None])
  rgb[0, 0, 0, 0] ^= 1
  assert split.make_split('x', rgb).x.shape[-1] == 3


def test_zeros_and_ones_become_black_and_white():
  images = split.make_split('x', (GREY > 99).astype(np.uint8)).x
  assert set(np.unique(images)) == {0, 255}


@pytest.mark.parametrize(
  'images',
  [GREY.astype(float), GREY[0], GREY[:0]],
  ids=['float', 'one image', 'none'],
)
def test_other_arrays_than_images_are_refused(images):
  with pytest.raises(UserError, match=r'^x: images have .* expected uint8'):
    split.make_split('x', images)


def test_labels_of_another_length_are_refused():
  with pytest.raises(
    UserError, match=r'labels have shape \(3,\), expected \(20,\)'
  ):
    split.make_split('x', GREY, np.zeros(3))


def test_cut_is_a_deterministic_partition_that_keeps_labels():
  whole = split.make_split('x', GREY, GREY[:, 0, 0])
  train, held_out = split.cut('x', whole, 5)
  assert len(train.x) == 15
  assert len(held_out.x) == 5
  both = np.concatenate([train.x, held_out.x])
  order = np.lexsort(both.reshape(20, -1).T)
  exact = np.lexsort(whole.x.reshape(20, -1).T)
  np.testing.assert_array_equal(both[order], whole.x[exact])
  np.testing.assert_array_equal(train.labels, train.x[:, 0, 0, 0])
  again, _ = split.cut('x', whole, 5)
  np.testing.assert_array_equal(train.x, again.x)


def test_mean_example_scales_pixels_but_not_real_numbers():
  np.testing.assert_allclose(split.mean_example(GREY), GREY.mean(axis=0) / 255)
  reals = GREY.reshape(20, -1).astype(np.float32)
  np.testing.assert_allclose(split.mean_example(reals), reals.mean(axis=0))


@pytest.mark.parametrize('held_out', [0, 20])
def test_cut_refuses_an_empty_part(held_out):
  with pytest.raises(UserError, match='too few'):
    split.cut('x', split.make_split('x', GREY), held_out)
