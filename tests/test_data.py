import time

import numpy as np
import pytest

from vae_jax import data
from vae_jax.errors import UserError


def test_digits_are_split_in_three():
  train, validation = data.load_train('digits', num_validation=1000)
  test = data.load_test('digits')
  sizes = [len(split.images) for split in (train, validation, test)]
  # At most a tenth of what is left of the 1,797 after the test.
  assert sizes == [1375, 152, 270]
  images = np.concatenate([train.images, validation.images, test.images])
  unique = lambda x: len(np.unique(x.reshape(len(x), -1), axis=0))
  assert unique(images) >= unique(train.images) + unique(test.images) - 5


@pytest.mark.parametrize(
  ('name', 'near'),
  [('mnits', 'mnist'), ('digit', 'digits'), ('fashionmnist', 'fashion_mnist')],
)
def test_unknown_dataset_names_the_nearest(name, near):
  with pytest.raises(UserError, match=f"unknown .*did you mean '{near}'"):
    data.check_exists(name)


def test_set_that_is_not_prepared_says_where_and_how_fast(tmp_path):
  started = time.monotonic()
  with pytest.raises(UserError) as error:
    data.check_exists('kmnist', str(tmp_path))
  assert time.monotonic() - started < 2
  message = str(error.value)
  assert f'{tmp_path}/kmnist' in message
  assert '--data_dir' in message
  assert './launch.sh prepare --dataset=kmnist' in message


def test_file_that_is_not_there():
  with pytest.raises(UserError, match=r'faces\.npz: no such file'):
    data.check_exists('faces.npz')
