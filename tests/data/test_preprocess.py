import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from tests.helpers import assert_mean
from vae_jax import data
from vae_jax.data import preprocess as preprocess_module
from vae_jax.errors import UserError
from vae_jax.models.supports import BINARY, COUNTS, PIXELS, REALS, UNIT


def test_binarise_draws_bernoulli_of_the_pixels(key):
  image = jnp.array([0, 51, 128, 255], jnp.uint8)
  draws = jax.vmap(data.binarise, (0, None))(
    jax.random.split(key, 20_000), image
  )
  assert draws.dtype == jnp.float32
  assert_mean(draws, np.array([0, 51, 128, 255]) / 255)
  assert draws[:, 0].max() == 0
  assert draws[:, 3].min() == 1


BLACK_WHITE = np.array([[0, 255], [255, 255]], np.uint8)
GREY = np.array([[0, 51], [128, 255]], np.uint8)
NUMBERS = np.array([[-1.5, 0.25], [3.0, 300.0]], np.float32)
FRACTIONS = np.array([[0.0, 0.25], [0.5, 1.0]], np.float32)


def test_fast_binarisation_has_the_probabilities_of_the_pixels():
  """Counted over all 65,536 values of its bits: within 2^-16 of pixel / 255."""
  bits = jnp.arange(2**16, dtype=jnp.uint16)
  for level in (0, 1, 2, 127, 128, 254, 255):
    images = jnp.full(2**16, level, jnp.uint8)
    count = int(preprocess_module._below(bits, images).sum())
    assert 0 <= count / 2**16 - level / 255 < 2**-16
    assert level not in (0, 255) or count == level / 255 * 2**16


@pytest.mark.parametrize('impl', ['threefry2x32', 'rbg'])
def test_fast_bits_are_uniform_and_independent(impl):
  """Chi-squared of pairs of nibbles; the rate of false alarms is 1e-8 each."""
  bits = preprocess_module._random_16_bits(jax.random.key(3, impl=impl), 99999)
  assert bits.shape == (99999,)
  assert bits.dtype == jnp.uint16
  for shift in (12, 6, 0):
    nibbles = (np.asarray(bits) >> shift) & 15
    for lag in (1, 2, 3, 4):
      counts = np.zeros((16, 16))
      np.add.at(counts, (nibbles[:-lag], nibbles[lag:]), 1)
      expected = counts.sum() / 256
      statistic = ((counts - expected) ** 2).sum() / expected
      low, high = scipy.stats.chi2.ppf([5e-9, 1 - 5e-9], 255)
      assert low < statistic < high


def test_fast_binarisation_is_drawn_per_key_and_pixel(key):
  images = jnp.full((40, 6, 6, 1), 128, jnp.uint8)
  first, second = jax.random.split(key)
  keys = (first, jax.random.clone(first), second)
  draws = [data.binarise_fast(k, images) for k in keys]
  assert draws[0].shape == images.shape
  assert set(np.unique(draws[0])) == {0.0, 1.0}
  np.testing.assert_array_equal(draws[0], draws[1])
  assert 0.3 < float(jnp.mean(draws[0] != draws[2])) < 0.7


def test_training_binarises_fast_and_nothing_else_changes():
  assert data.at_each_visit(data.binarise) is data.binarise_fast
  assert data.at_each_visit(data.dequantise) is data.dequantise


def test_black_and_white_images_become_zeros_and_ones(key):
  options = {'support': BINARY, 'binarisation': 'none'}
  preprocess = data.make_preprocess(BLACK_WHITE, **options)
  x = preprocess(key, BLACK_WHITE)
  assert x.dtype == jnp.float32
  np.testing.assert_array_equal(x, [[0.0, 1.0], [1.0, 1.0]])
  once = data.preprocess_once(preprocess, key, BLACK_WHITE)
  assert once.dtype == np.uint8
  np.testing.assert_array_equal(once, x)


@pytest.mark.parametrize('images', [GREY, BLACK_WHITE])
def test_dynamic_binarisation_is_the_default(images):
  assert data.make_preprocess(images, support=BINARY) is data.binarise


def test_dequantised_pixels_are_uniform_within_their_level(key):
  draws = jax.vmap(data.dequantise, (0, None))(
    jax.random.split(key, 20_000), GREY
  )
  assert draws.dtype == jnp.float32
  assert_mean(draws, (GREY + 0.5) / 256)
  assert_mean(draws**2, ((GREY + 0.5) ** 2 + 1 / 12) / 256**2)
  level = 256 * np.asarray(draws) - GREY
  assert np.all((level >= 0) & (level <= 1))


@pytest.mark.parametrize('support', [UNIT, REALS])
def test_densities_take_dequantised_pixels(support):
  assert data.make_preprocess(GREY, support=support) is data.dequantise


@pytest.mark.parametrize('binarisation', ['dynamic', 'none'])
@pytest.mark.parametrize(
  ('support', 'stored', 'exact'),
  [
    (REALS, NUMBERS, NUMBERS),
    (REALS, FRACTIONS, FRACTIONS),
    (UNIT, FRACTIONS, FRACTIONS),
    (PIXELS, GREY, GREY / 255),
  ],
)
def test_other_preprocessing_is_deterministic(
  support, stored, exact, binarisation, key
):
  preprocess = data.make_preprocess(
    stored, support=support, binarisation=binarisation
  )
  x = preprocess(key, stored)
  assert x.dtype == np.float32
  np.testing.assert_allclose(x, exact, rtol=1e-6)
  np.testing.assert_array_equal(x, preprocess(key, stored))


@pytest.mark.parametrize(
  ('preprocess', 'dtype'),
  [(data.binarise, np.uint8), (data.dequantise, np.float32)],
)
def test_preprocess_once_depends_on_the_key_only(preprocess, dtype, key):
  # More than one chunk of 1,000.
  images = np.full((1500, 2, 2, 1), 128, np.uint8)
  with jax.debug_key_reuse(False):
    first = data.preprocess_once(preprocess, key, images)
    again = data.preprocess_once(preprocess, key, images)
    keys = jax.random.split(key, 1500)
    # Each example has its own key.
    last = preprocess(keys[-1], images[-1])
  assert first.dtype == dtype
  np.testing.assert_array_equal(first, again)
  np.testing.assert_array_equal(first[-1], last.astype(dtype))
  distinct = len(np.unique(first.reshape(1500, -1), axis=0))
  assert distinct == (16 if dtype == np.uint8 else 1500)


LIKELIHOODS = {
  'bernoulli': BINARY,
  'continuous_bernoulli': UNIT,
  'normal': REALS,
  'normal_fixed': REALS,
  'normal_optimal': REALS,
  'discretised_logistic': PIXELS,
}
NORMALS = 'normal, normal_fixed or normal_optimal'
DENSITIES = f'continuous_bernoulli, {NORMALS}'
GREY_FIT = f'{DENSITIES} or discretised_logistic'.replace(' or n', ', n')


@pytest.mark.parametrize(
  ('support', 'stored', 'words', 'suggested'),
  [
    (BINARY, NUMBERS, 'real numbers from -1.5 to 300', NORMALS),
    (UNIT, NUMBERS, 'real numbers from -1.5 to 300', NORMALS),
    (PIXELS, NUMBERS, 'real numbers from -1.5 to 300', NORMALS),
    (PIXELS, FRACTIONS, 'real numbers from 0 to 1', DENSITIES),
    (BINARY, FRACTIONS, 'real numbers from 0 to 1', DENSITIES),
    (UNIT, -FRACTIONS, 'real numbers from -1 to -0', NORMALS),
    (UNIT, 2 * FRACTIONS, 'real numbers from 0 to 2', NORMALS),
    (BINARY, GREY, r'grey pixels \(50% of all pixels\)', GREY_FIT),
  ],
)
def test_data_outside_the_support_are_refused_with_alternatives(
  support, stored, words, suggested
):
  with pytest.raises(UserError, match=f"^dataset 'xyz': has {words}") as error:
    data.make_preprocess(
      stored,
      support=support,
      binarisation='none',
      dataset='xyz',
      likelihood='--likelihood=given',
      likelihoods=LIKELIHOODS,
    )
  message = str(error.value)
  assert f'but --likelihood=given is a distribution over {support}' in message
  first = '--binarisation=dynamic, or ' if stored is GREY else ''
  assert message.endswith(f'; use {first}--likelihood={suggested}')
  assert '\n' not in message


def test_one_alternative_or_none_makes_a_whole_sentence():
  with pytest.raises(UserError, match=r'over 0 and 1; use --likelihood=n$'):
    data.make_preprocess(NUMBERS, support=BINARY, likelihoods={'n': REALS})
  with pytest.raises(UserError, match=r'but the likelihood is .* 0 and 1$'):
    data.make_preprocess(NUMBERS, support=BINARY)
  with pytest.raises(UserError, match=r'; use --binarisation=dynamic$'):
    data.make_preprocess(GREY, support=BINARY, binarisation='none')


def test_an_unknown_binarisation_is_refused():
  with pytest.raises(ValueError, match="got 'static', expected 'dynamic'"):
    data.make_preprocess(GREY, support=BINARY, binarisation='static')


@pytest.mark.parametrize('binarisation', ['dynamic', 'none'])
@pytest.mark.parametrize(
  ('support', 'stored'),
  [(BINARY, BLACK_WHITE), (PIXELS, GREY), (UNIT, GREY), (REALS, NUMBERS)],
)
def test_data_have_the_default_precision(support, stored, binarisation, key):
  preprocess = data.make_preprocess(
    stored, support=support, binarisation=binarisation
  )
  with jax.enable_x64(True):
    shape = jax.eval_shape(preprocess, key, jnp.asarray(stored))
    once = data.preprocess_once(preprocess, key, stored)
  assert shape.dtype == np.float64
  assert once.dtype == (np.uint8 if support == BINARY else np.float64)
  assert jax.eval_shape(preprocess, key, stored).dtype == np.float32


def test_counts_are_taken_as_stored(key):
  x = np.array([[0, 3], [70000, 1]], np.int32)
  preprocess = data.make_preprocess(x, support=COUNTS)
  found = preprocess(key, jnp.asarray(x))
  assert found.dtype == jnp.float32
  np.testing.assert_array_equal(found, x)
  assert 'whole numbers' in data.describe_preprocess(preprocess)


@pytest.mark.parametrize(
  ('x', 'support', 'message'),
  [
    (GREY, COUNTS, 'has 8-bit pixels, but .* over counts'),
    (NUMBERS, COUNTS, 'has real numbers from -1.5 to 300, but .* over counts'),
    (np.array([[0, 1]]), BINARY, 'has counts from 0 to 1, but .* over 0 and 1'),
    (np.array([[0, 9]]), REALS, 'has counts from 0 to 9, but .* real numbers'),
    (np.array([[0, 9]]), PIXELS, 'use --likelihood=poisson$'),
  ],
)
def test_counts_and_other_data_are_not_mixed(x, support, message):
  with pytest.raises(UserError, match=message):
    data.make_preprocess(
      x, support=support, likelihoods={'poisson': COUNTS, 'normal': REALS}
    )
