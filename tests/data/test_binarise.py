import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers import assert_mean
from vae_jax import data
from vae_jax.errors import UserError


def test_binarise_draws_ones_at_the_pixels_rate(key):
  image = jnp.array([0, 51, 128, 255], jnp.uint8)
  draws = jax.vmap(data.binarise, (0, None))(
    jax.random.split(key, 20_000), image
  )
  assert draws.dtype == jnp.float32
  assert_mean(draws, np.array([0, 51, 128, 255]) / 255)
  assert draws[:, 0].max() == 0
  assert draws[:, 3].min() == 1


def test_none_takes_black_and_white_as_they_are(key):
  x = data.make_prepare('none')(key, jnp.array([0, 255], jnp.uint8))
  np.testing.assert_array_equal(x, [0.0, 1.0])


def test_a_split_is_binarised_once_and_for_all(key):
  images = np.full((1500, 2, 2, 1), 128, np.uint8)
  with jax.debug_key_reuse(False):
    first = data.prepare_once(data.binarise, key, images)
    again = data.prepare_once(data.binarise, key, images)
  assert first.dtype == np.uint8
  np.testing.assert_array_equal(first, again)
  assert len(np.unique(first.reshape(1500, -1), axis=0)) == 16


def test_grey_pixels_are_told_from_black_and_white():
  data.check_binary('x', np.array([0, 255, 255], np.uint8))
  with pytest.raises(UserError, match=r'grey pixels.*--binarisation=dynamic'):
    data.check_binary('x', np.array([0, 1, 255], np.uint8))
