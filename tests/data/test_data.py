import time

import numpy as np
import pytest

from vae_jax import data
from vae_jax.errors import UserError


def test_digits_are_split_into_train_validation_and_test():
  train, validation = data.load_train('digits', num_validation=1000)
  test = data.load_test('digits')
  sizes = [len(split.x) for split in (train, validation, test)]
  # Validation is at most a tenth of the 1,527 that are not test examples.
  assert sizes == [1375, 152, 270]
  images = np.concatenate([train.x, validation.x, test.x])
  unique = lambda x: len(np.unique(x.reshape(len(x), -1), axis=0))
  assert unique(images) >= unique(train.x) + unique(test.x) - 5


@pytest.mark.parametrize(
  ('name', 'near'),
  [('mnits', 'mnist'), ('digit', 'digits'), ('fashionmnist', 'fashion_mnist')],
)
def test_unknown_dataset_suggests_the_nearest_name(name, near):
  with pytest.raises(UserError, match=f"unknown .*did you mean '{near}'"):
    data.check_exists(name)


def test_missing_dataset_is_reported_quickly_with_the_command_to_prepare_it(
  tmp_path,
):
  started = time.monotonic()
  with pytest.raises(UserError) as error:
    data.check_exists('kmnist', str(tmp_path))
  assert time.monotonic() - started < 2
  message = str(error.value)
  assert f'{tmp_path}/kmnist' in message
  assert '--data_dir' in message
  assert './launch.sh prepare --dataset=kmnist' in message


@pytest.mark.parametrize(
  'name', ['plain.mat', 'a/b.h5', '~/photos.zip', 'faces.NPZ', 'bare']
)
def test_other_files_are_not_unknown_names(name, inside):
  (inside / 'bare').touch()
  with pytest.raises(UserError, match=r'\.npz.* Save .*np.savez') as error:
    data.check_exists(name)
  assert 'did you mean' not in str(error.value)


@pytest.mark.parametrize('name', ['photographs', 'my_data', 'x'])
def test_far_names_are_not_suggested(name):
  with pytest.raises(UserError, match='unknown dataset') as error:
    data.check_exists(name)
  assert 'did you mean' not in str(error.value)


@pytest.mark.parametrize('name', ['faces.npz', 'plain.npy'])
def test_missing_file_is_reported(name):
  with pytest.raises(UserError, match=f'{name}: no such file$'):
    data.check_exists(name)


def test_labels_stay_with_their_images_in_every_split(tmp_path):
  path = tmp_path / 'a.npz'
  labels = np.arange(200)
  images = np.broadcast_to(labels[:, None, None], (200, 4, 4))
  np.savez(path, images=images.astype(np.uint8), labels=labels)
  train, validation = data.load_train(str(path), num_validation=10)
  test = data.load_test(str(path))
  assert [len(split.x) for split in (train, validation, test)] == [160, 10, 30]
  for split in (train, validation, test):
    np.testing.assert_array_equal(split.x[:, 0, 0, 0], split.labels)
