import re

import jax
import numpy as np
import pytest

from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.runs.config import Config
from vae_jax.runs.preprocess import describe_data, make_preprocess

LEVELS = (
  '--likelihood=continuous_bernoulli, normal, .*or discretised_logistic_mixture'
)
BLACK = np.array([0, 255], np.uint8).reshape(1, 2, 1, 1)
COLOUR = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)

GREY = np.array([[0, 51], [128, 255]], np.uint8)


@pytest.mark.parametrize(
  ('options', 'expected'),
  [
    ({}, data.binarise),
    ({'binarisation': 'dynamic'}, data.binarise),
    ({'likelihood': 'continuous_bernoulli'}, data.dequantise),
    ({'likelihood': 'normal_optimal', 'binarisation': 'none'}, data.dequantise),
  ],
)
def test_preprocessing_follows_the_options(options, expected):
  assert make_preprocess(Config(**options), GREY) is expected


def test_errors_name_the_dataset_and_the_flags():
  config = Config(dataset='xyz', binarisation='none')
  with pytest.raises(
    UserError,
    match=r"'xyz'.*--likelihood=bernoulli is .*use --binarisation=dynamic, or "
    '--likelihood=continuous_bernoulli, normal, .* or '
    'discretised_logistic_mixture$',
  ):
    make_preprocess(config, GREY)


@pytest.mark.parametrize(
  ('options', 'x', 'wanted'),
  [
    ({}, GREY[None, ..., None], ['2 x 2 x 1; binarised', f'fit {LEVELS}']),
    ({}, BLACK, ['2 x 1 x 1; binarised at each visit, x ~ Bernoulli']),
    (
      {},
      COLOUR,
      ['2 x 2 x 3; binarised', f"warning.*'?xyz'?: has 3 channels.*{LEVELS}"],
    ),
    ({}, COLOUR[..., :2], ['2 x 2 x 2; binarised', 'warning.*has 2 channels']),
    ({}, BLACK.repeat(3, -1), ['2 x 1 x 3; binarised']),
    ({'likelihood': 'normal'}, COLOUR, [r'x = \(pixel \+ u\) / 256']),
    ({'likelihood': 'categorical'}, COLOUR, ['x = pixel / 255']),
    (
      {'likelihood': 'categorical'},
      BLACK,
      ['x = pixel / 255', 'black or white.*--likelihood=bernoulli$'],
    ),
    ({'binarisation': 'none'}, BLACK, ['black is 0 and white is 1']),
    (
      {'likelihood': 'normal'},
      np.zeros((1, 4), np.float32),
      ['x: real numbers of 4; taken as stored; computed in float32$'],
    ),
    (
      {'likelihood': 'poisson'},
      np.zeros((1, 4), np.int32),
      ['x: counts of 4; whole numbers, taken as stored; computed in float32$'],
    ),
  ],
)
def test_start_says_what_is_done_to_the_pixels(options, x, wanted):
  lines = describe_data(Config(dataset='xyz', **options), x)
  assert len(lines) == len(wanted)
  for line, words in zip(lines, wanted, strict=True):
    assert re.search(words, line)


def test_start_says_that_numbers_are_computed_in_float64():
  with jax.enable_x64(True):
    (line, *_) = describe_data(Config(dataset='xyz'), BLACK)
  assert line.endswith('; computed in float64')
