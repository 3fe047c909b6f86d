import numpy as np
import pytest

from vae_jax import data
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


BINARY = (GREY > 99).astype(np.uint8)


def splits(**images):
  parts = {name: (own, None) for name, own in images.items()}
  return {k: v.x[..., 0] for k, v in split.make_splits('x', parts).items()}


def test_the_training_images_decide_the_scale():
  found = splits(test=BINARY, train=GREY, validation=0 * GREY)
  np.testing.assert_array_equal(found['test'], BINARY)
  np.testing.assert_array_equal(found['train'], GREY)
  found = splits(test=0 * GREY, train=BINARY)
  np.testing.assert_array_equal(found['train'], 255 * BINARY)
  assert found['test'].max() == 0


@pytest.mark.parametrize('name', ['test', 'validation'])
def test_grey_images_beside_binary_ones_are_refused(name):
  wanted = f'^x: {name}_images have pixels up to {GREY.max()}, expected 0 and 1'
  with pytest.raises(UserError, match=wanted):
    splits(**{'train': BINARY, name: GREY})


@pytest.mark.parametrize('shape', [(9, 4, 5), (9, 5, 4), (9, 4, 4, 3)])
def test_splits_of_other_sizes_or_channels_are_refused(shape):
  wanted = r'^x: test_images have the size .* expected \(4, 4, 1\) .* train_im'
  with pytest.raises(UserError, match=wanted):
    splits(train=GREY, test=np.ones(shape, np.uint8))


def test_channels_are_reduced_only_if_equal_in_every_split():
  rgb = np.repeat(GREY[..., None], 3, axis=-1)
  other = rgb.copy()
  other[0, 0, 0, 0] ^= 1
  for train, test, channels in ((rgb, rgb, 1), (rgb, other, 3)):
    parts = {'train': (train, None), 'test': (test, None)}
    for part in split.make_splits('x', parts).values():
      assert part.x.shape == (20, 4, 4, channels)


@pytest.mark.parametrize(
  'size',
  [(3, 32, 32), (1, 28, 28), (2, 8, 8), (5, 8, 8), (32, 8, 8), (3, 16, 24)],
)
def test_channels_before_the_rows_are_asked_about(size):
  images = np.random.RandomState(0).randint(0, 256, (2, *size), np.uint8)
  with pytest.raises(UserError, match=r'\[N, C, H, W\]\? .*transpose\(0, 2, 3'):
    split.make_split('x', images)
  right = split.make_split('x', images.transpose(0, 2, 3, 1))
  assert right.x.shape[1:] == (*size[1:], size[0])


def test_an_image_shape_states_that_channels_come_last(tmp_path):
  images = np.random.RandomState(0).randint(0, 256, (40, 4, 4, 5), np.uint8)
  np.save(tmp_path / 'images.npy', images)
  (tmp_path / 'shards').mkdir()
  np.save(tmp_path / 'shards' / 'train-0.npy', images[:20])
  np.save(tmp_path / 'shards' / 'test-0.npy', images[20:])
  for name in ('images.npy', 'shards'):
    where = str(tmp_path / name)
    with pytest.raises(UserError, match='state --image_shape=4,4,5 if that is'):
      data.load_test(where)
    stated = data.Transform((4, 4, 5))
    assert data.load_test(where, transform=stated).x.shape[1:] == (4, 4, 5)
    other = data.Transform((4, 5, 4))
    with pytest.raises(UserError, match=r'expected \[N, 4, 5, 4\]'):
      data.load_test(where, transform=other)


@pytest.mark.parametrize(
  'size',
  [
    *((8, 8, 2), (8, 8, 5), (8, 8, 32), (4, 4, 4), (8, 8, 8), (12, 16, 24)),
    *((1, 10_000), (3, 1000), (1000, 3), (1, 1, 3), (2, 3, 4)),
  ],
)
def test_other_sizes_and_channels_are_taken(size):
  images = np.arange(2 * np.prod(size)).reshape(2, *size).astype(np.uint8)
  x = split.make_split('x', images).x
  assert x.shape[1:] == (size if len(size) == 3 else (*size, 1))


def test_labels_of_one_column_are_taken():
  labels = np.arange(20)
  for given in (labels, labels[:, None]):
    found = split.make_split('x', GREY, given).labels
    np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize(
  ('labels', 'message'),
  [
    (np.zeros((20, 10)), r'labels have shape \(20, 10\), expected one label'),
    (np.zeros((1, 20)), r'labels have shape \(1, 20\), expected \(20,\)'),
    (np.zeros(()), r'labels have shape \(\), expected \(20,\)'),
    (np.zeros(20, complex), 'labels have dtype complex128, expected numbers'),
    (np.zeros(20, 'V3'), r'labels have dtype \|V3, expected numbers'),
    (np.zeros(20, 'M8[s]'), 'labels have dtype datetime64'),
  ],
)
def test_other_labels_are_refused(labels, message):
  with pytest.raises(UserError, match=message):
    split.make_split('x', GREY, labels)


def test_names_that_cannot_be_printed_are_escaped():
  names = np.array(['cat', '\ud800', '\x1b[2J', 'caf\xe9'] * 5)
  found = split.make_split('x', GREY, names).labels
  assert list(found[:4]) == ['cat', '\\ud800', '\\x1b[2J', 'caf\xe9']
  bytes_names = np.array([b'cat', b'\xff', b'\x1b', b'a'] * 5)
  found = split.make_split('x', GREY, bytes_names).labels
  assert list(found[:4]) == ['cat', '\xff', '\\x1b', 'a']


@pytest.mark.parametrize('held_out', [0, 20])
def test_cut_refuses_an_empty_part(held_out):
  with pytest.raises(UserError, match='too few'):
    split.cut('x', split.make_split('x', GREY), held_out)
