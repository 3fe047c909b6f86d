import numpy as np
import pytest

from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.runs.config import Config
from vae_jax.runs.preprocess import make_preprocess

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
    '--likelihood=continuous_bernoulli, normal, .* or categorical$',
  ):
    make_preprocess(config, GREY)
