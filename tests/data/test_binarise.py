import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
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


BLACK_AND_WHITE = np.array([[0, 255], [255, 255]], np.uint8)
GREY = np.array([[0, 51], [128, 255]], np.uint8)
REALS = np.array([[-1.5, 0.25], [3.0, 300.0]], np.float32)


def test_none_takes_black_and_white_as_they_are(key):
  config = vj.Config(binarisation='none')
  x = data.make_prepare(config, BLACK_AND_WHITE)(key, BLACK_AND_WHITE)
  np.testing.assert_array_equal(x, [[0.0, 1.0], [1.0, 1.0]])


@pytest.mark.parametrize('binarisation', ['auto', 'dynamic'])
def test_bernoulli_draws_grey_pixels(binarisation):
  config = vj.Config(binarisation=binarisation)
  assert data.make_prepare(config, GREY) is data.binarise


@pytest.mark.parametrize('binarisation', ['auto', 'none'])
@pytest.mark.parametrize(
  ('images', 'exact'), [(GREY, GREY / 255), (REALS, REALS)]
)
def test_normal_takes_real_numbers(images, exact, binarisation, key):
  config = vj.Config(likelihood='normal', binarisation=binarisation)
  prepare = data.make_prepare(config, images)
  x = jax.jit(prepare)(key, images)
  assert x.dtype == jnp.float32
  np.testing.assert_allclose(x, exact, rtol=1e-6)
  with jax.debug_key_reuse(False):
    once = data.prepare_once(prepare, key, images)
  np.testing.assert_array_equal(once, x)
  assert once.dtype == np.float32


def test_a_split_is_binarised_once_and_for_all(key):
  images = np.full((1500, 2, 2, 1), 128, np.uint8)
  with jax.debug_key_reuse(False):
    first = data.prepare_once(data.binarise, key, images)
    again = data.prepare_once(data.binarise, key, images)
  assert first.dtype == np.uint8
  np.testing.assert_array_equal(first, again)
  assert len(np.unique(first.reshape(1500, -1), axis=0)) == 16


def test_grey_pixels_are_told_from_black_and_white():
  config = vj.Config(binarisation='none')
  with pytest.raises(UserError, match=r'grey pixels.*--binarisation=dynamic'):
    data.make_prepare(config, GREY)


@pytest.mark.parametrize('binarisation', ['auto', 'dynamic', 'none'])
def test_real_numbers_are_no_zeros_and_ones(binarisation):
  config = vj.Config(binarisation=binarisation, dataset='xyz')
  with pytest.raises(UserError, match=r"'xyz'.*use --likelihood=normal"):
    data.make_prepare(config, REALS)
