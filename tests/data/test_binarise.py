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
FRACTIONS = np.array([[0.0, 0.25], [0.5, 1.0]], np.float32)


def test_none_takes_black_and_white_as_they_are(key):
  config = vj.Config(binarisation='none')
  x = data.make_prepare(config, BLACK_AND_WHITE)(key, BLACK_AND_WHITE)
  np.testing.assert_array_equal(x, [[0.0, 1.0], [1.0, 1.0]])


@pytest.mark.parametrize('binarisation', ['auto', 'dynamic'])
def test_bernoulli_draws_grey_pixels(binarisation):
  config = vj.Config(binarisation=binarisation)
  assert data.make_prepare(config, GREY) is data.binarise


def test_dequantised_pixels_are_uniform_within_their_level(key):
  draws = jax.vmap(data.dequantise, (0, None))(
    jax.random.split(key, 20_000), GREY
  )
  assert draws.dtype == jnp.float32
  assert_mean(draws, (GREY + 0.5) / 256)
  assert_mean(draws**2, ((GREY + 0.5) ** 2 + 1 / 12) / 256**2)
  level = 256 * np.asarray(draws) - GREY
  assert np.all((level >= 0) & (level <= 1))


@pytest.mark.parametrize(
  'likelihood',
  ['continuous_bernoulli', 'normal', 'normal_fixed', 'normal_optimal'],
)
def test_densities_take_pixels_dequantised(likelihood, key):
  prepare = data.make_prepare(vj.Config(likelihood=likelihood), GREY)
  assert prepare is data.dequantise
  with jax.debug_key_reuse(False):
    first = data.prepare_once(prepare, key, GREY)
    again = data.prepare_once(prepare, key, GREY)
  assert first.dtype == np.float32
  np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize('binarisation', ['auto', 'none'])
@pytest.mark.parametrize(
  ('likelihood', 'images', 'exact'),
  [
    ('normal', REALS, REALS),
    ('normal_optimal', REALS, REALS),
    ('continuous_bernoulli', FRACTIONS, FRACTIONS),
    ('discretised_logistic', GREY, GREY / 255),
    ('categorical', GREY, GREY / 255),
  ],
)
def test_nothing_is_drawn(likelihood, images, exact, binarisation, key):
  config = vj.Config(likelihood=likelihood, binarisation=binarisation)
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
  with pytest.raises(
    UserError, match=r'grey pixels.*--binarisation=dynamic'
  ) as e:
    data.make_prepare(config, GREY)
  assert '--likelihood=continuous_bernoulli, normal,' in str(e.value)


@pytest.mark.parametrize('binarisation', ['auto', 'dynamic', 'none'])
def test_real_numbers_are_no_zeros_and_ones(binarisation):
  config = vj.Config(binarisation=binarisation, dataset='xyz')
  with pytest.raises(UserError, match=r"'xyz'.*use --likelihood=normal"):
    data.make_prepare(config, REALS)


NORMALS = 'use --likelihood=normal, normal_fixed or normal_optimal'


@pytest.mark.parametrize(
  ('likelihood', 'values', 'words'),
  [
    ('bernoulli', REALS, ['over 0 and 1', NORMALS]),
    ('continuous_bernoulli', REALS, ['-1.5 to 300', 'in [0, 1]', NORMALS]),
    ('discretised_logistic', REALS, ['over 8-bit pixels', NORMALS]),
    ('categorical', REALS, ['over 8-bit pixels', NORMALS]),
    ('categorical', FRACTIONS, ['--likelihood=continuous_bernoulli, normal']),
    ('continuous_bernoulli', -FRACTIONS, [NORMALS]),
    ('continuous_bernoulli', 2 * FRACTIONS, [NORMALS]),
  ],
)
def test_a_likelihood_of_other_numbers_is_refused(likelihood, values, words):
  config = vj.Config(likelihood=likelihood)
  with pytest.raises(UserError) as error:
    data.make_prepare(config, values)
  for word in words:
    assert word in str(error.value)
  assert '\n' not in str(error.value)
