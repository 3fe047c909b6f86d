"""Conditions of a data set, and arrays beside its images."""

import numpy as np
import pytest

from vae_jax import data
from vae_jax.data.condition import (
  Condition,
  condition_of_record,
  fit_condition,
)
from vae_jax.errors import UserError

IMAGES = np.random.RandomState(0).randint(0, 256, (40, 2, 2), np.uint8)


@pytest.mark.parametrize(
  ('y', 'classes', 'found'),
  [
    (np.array([3, 1, 3, 7]), (1, 3, 7), [1, 0, 1, 2]),
    (np.array([[1], [0]], np.uint8), (0, 1), [1, 0]),
    (np.array([True, False]), (0, 1), [1, 0]),
    (np.array(['b', 'a', 'b']), ('a', 'b'), [1, 0, 1]),
    (np.array([b'b', b'a']), ('a', 'b'), [1, 0]),
  ],
)
def test_classes_are_numbered_in_order(y, classes, found):
  condition = fit_condition('y', y)
  assert condition.classes == classes
  assert (condition.num_classes, condition.num_covariates) == (len(classes), 0)
  code = condition.encode('y', y)
  assert code.dtype == np.int32
  assert code.tolist() == found
  assert condition_of_record(condition.record()) == condition


@pytest.mark.parametrize('shape', [(50,), (50, 3)])
def test_covariates_are_standardised_over_training(shape):
  y = np.random.RandomState(0).normal(3, 5, shape)
  condition = fit_condition('y', y)
  code = condition.encode('y', y)
  assert code.shape == (50, condition.num_covariates)
  np.testing.assert_allclose(code.mean(axis=0), 0, atol=1e-6)
  np.testing.assert_allclose(code.std(axis=0), 1, rtol=1e-6)
  more = condition.encode('y', y + 5 * y.std(axis=0))
  np.testing.assert_allclose(more - code, 5, rtol=1e-5)
  assert condition_of_record(condition.record()) == condition


def test_a_constant_covariate_and_binary_attributes_are_admitted():
  y = np.array([[0, 1], [1, 1]])
  code = fit_condition('y', y).encode('y', y)
  np.testing.assert_array_equal(code, [[-1, 0], [1, 0]])


@pytest.mark.parametrize(
  ('y', 'message'),
  [
    (None, 'y: missing, expected one condition per training example'),
    (np.array([0, -1]), 'got the class -1, expected classes from 0'),
    (np.array([2, 2]), 'got the single class 2'),
    (np.array([0.0, np.nan]), 'got nan, expected numbers'),
    (np.zeros((2, 2, 2)), r'got dtype float64 and shape \(2, 2, 2\)'),
    (np.zeros((2, 2), 'U1'), 'got dtype <U1'),
  ],
)
def test_unsuitable_conditions_are_refused(y, message):
  with pytest.raises(UserError, match=message) as error:
    fit_condition('y', y)
  assert '\n' not in str(error.value)


def test_other_conditions_than_those_of_training_are_refused():
  classes = Condition((0, 1, 5))
  for y in ([0, 2], [0, 9]):
    with pytest.raises(UserError, match='expected one of the 3 training'):
      classes.encode('y', np.array(y))
  for y in (np.array(['a']), np.zeros((2, 2)), np.array([0.5])):
    with pytest.raises(UserError, match=r'expected classes \(N,\)'):
      classes.encode('y', y)
  covariates = Condition((), (0.0, 1.0), (1.0, 2.0))
  with pytest.raises(UserError, match=r'expected \(N, 2\)'):
    covariates.encode('y', np.zeros((4, 3)))


@pytest.mark.parametrize(
  'value',
  [
    [],
    {},
    {'classes': [1, 0]},
    {'classes': [0, 'a']},
    {'classes': [0, 1], 'mean': [0.0], 'scale': [1.0]},
    {'mean': [0.0], 'scale': []},
    {'mean': ['0'], 'scale': [1.0]},
    {'other': [1]},
  ],
)
def test_damaged_records_are_refused(value):
  with pytest.raises(UserError, match='condition: got'):
    condition_of_record(value)
  assert condition_of_record(None) is None


def test_y_and_mask_of_a_file_are_split_with_the_images(tmp_path):
  path = tmp_path / 'a.npz'
  y, mask = IMAGES[:, 0, 0] / 7, IMAGES > 50
  np.savez(path, images=IMAGES, y=y, mask=mask)
  train, validation = data.load_train(str(path), num_validation=5)
  test = data.load_test(str(path))
  total = 0
  for split in (train, validation, test):
    np.testing.assert_array_equal(split.y, split.x[:, 0, 0, 0] / 7)
    np.testing.assert_array_equal(split.mask, split.x > 50)
    total += len(split.y)
  assert total == 40


def test_digests_tell_other_conditions_and_masks():
  split = data.Split(IMAGES, None, np.arange(40), IMAGES > 50)
  found = data.digest(split)
  assert found == data.digest(split)
  others = [
    split._replace(y=np.arange(40)[::-1].copy()),
    split._replace(y=None),
  ]
  others += [split._replace(mask=IMAGES > 90)]
  assert len({found, *map(data.digest, others)}) == 4


@pytest.mark.parametrize(
  ('arrays', 'message'),
  [
    ({'y': np.zeros(3)}, r'y has shape \(3,\), expected \(40,\)'),
    ({'y': np.zeros(40, 'M8[s]')}, 'y has dtype'),
    ({'mask': np.ones((40, 2, 2))}, 'mask has dtype float64'),
    ({'mask': np.ones((40, 3, 2), bool)}, r'expected bool and \(40, 2, 2, 1\)'),
  ],
)
def test_unsuitable_arrays_beside_images_are_refused(tmp_path, arrays, message):
  path = tmp_path / 'a.npz'
  np.savez(path, images=IMAGES, **arrays)
  with pytest.raises(UserError, match=message):
    data.load_test(str(path))


def test_an_array_that_one_split_lacks_is_named(tmp_path):
  path = tmp_path / 'a.npz'
  np.savez(path, train_images=IMAGES, test_images=IMAGES, train_y=np.arange(40))
  with pytest.raises(UserError, match="got 'train_y' and no 'test_y'"):
    data.load_test(str(path))


def test_arrays_that_no_option_asks_for_do_not_hurt(tmp_path):
  path, lines = tmp_path / 'a.npz', []
  y = np.array([{}] * 3, object)  # Neither readable nor of the images' length.
  np.savez(path, images=IMAGES, y=y, mask=np.arange(3.0))
  train, _ = data.load_train(
    str(path), num_validation=4, beside=(), tell=lines.append
  )
  assert train.y is None
  assert train.mask is None
  for line in (
    'the array y is left out; --condition=y takes it',
    'the array mask is left out; --missing=mask takes it',
  ):
    assert f'{path}: {line}' in lines
  with pytest.raises(UserError, match='mask has dtype float64'):
    data.load_test(str(path), beside=('mask',))
  with pytest.raises(UserError, match='y consists of Python objects'):
    data.load_test(str(path), beside=('y',))


def test_a_mask_of_missing_data_is_noticed_without_an_option(tmp_path):
  path, lines = tmp_path / 'a.npz', []
  np.savez(path, images=IMAGES, mask=IMAGES > 50)
  train, _ = data.load_train(
    str(path), num_validation=4, beside=(), tell=lines.append
  )
  np.testing.assert_array_equal(train.mask, train.x > 50)
  assert not any('left out' in line for line in lines)
