"""The commands sample, encode and reconstruct on one small run."""

import jax
import numpy as np
import pytest
from PIL import Image

from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.runs import load_run
from vae_jax.runs.after.conditions import conditions_of
from vae_jax.runs.after.encoding import encode
from vae_jax.runs.after.opened import Examples, open_run
from vae_jax.runs.after.reconstruction import reconstruct
from vae_jax.runs.after.sampling import sample
from vae_jax.runs.config import (
  EncodeConfig,
  ReconstructConfig,
  SampleConfig,
)


def read(path):
  with np.load(path) as arrays:
    return dict(arrays)


def options(kind, trained, tmp_path, **more):
  own = {'workdir': str(trained.folder), 'output': str(tmp_path / 'out')}
  return kind(**(own | more))


def test_samples_are_those_of_the_run_in_python(trained, tmp_path):
  asked = options(SampleConfig, trained, tmp_path, num_samples=7, seed=3)
  npz, png = sample(asked)
  assert (npz.name, png.name) == ('samples_seed3.npz', 'samples_seed3.png')
  found = read(npz)
  run = load_run(trained.folder)
  expected = run.sample(jax.random.key(3), 7)
  np.testing.assert_allclose(found['means'], expected, rtol=1e-5)
  assert found['z'].shape == (7, 2)
  assert set(np.unique(found['draws'])) <= {0, 1}
  # P(x = 1) = E[x|z]: 448 pixels, and 6 standard errors of at most 0.5 each.
  error = np.mean(found['draws'] - found['means'])
  assert abs(error) < 6 * 0.5 / np.sqrt(448)
  with Image.open(png) as picture:
    assert picture.width > 100


def test_codes_are_those_of_the_run_in_python(trained, tmp_path):
  (path,) = encode(options(EncodeConfig, trained, tmp_path, num_samples=3))
  found, test = read(path), data.load_test('digits')
  q = load_run(trained.folder).encode(test.x)
  np.testing.assert_allclose(found['means'], q.mean(), rtol=1e-4, atol=1e-5)
  scales = jax.vmap(lambda q: q.variance())(q) ** 0.5
  np.testing.assert_allclose(found['scales'], scales, rtol=1e-4)
  np.testing.assert_array_equal(found['labels'], test.labels)
  draws = (found['draws'] - found['means'][:, None]) / found['scales'][:, None]
  # 270 x 3 x 2 standard normals: 6 standard errors of mean and variance.
  count = draws.size
  assert draws.shape == (270, 3, 2)
  assert abs(np.mean(draws)) < 6 / np.sqrt(count)
  assert abs(np.mean(draws**2) - 1) < 6 * np.sqrt(2 / count)


@pytest.mark.slow
def test_own_images_are_reconstructed_whole(trained, tmp_path):
  images = data.load_test('digits').x[:3]
  np.savez(tmp_path / 'own.npz', images=images, labels=[1, 2, 3])
  asked = options(
    ReconstructConfig, trained, tmp_path, dataset=str(tmp_path / 'own.npz')
  )
  npz, png = reconstruct(asked)
  found = read(npz)
  np.testing.assert_array_equal(found['originals'], images)
  np.testing.assert_array_equal(found['labels'], [1, 2, 3])
  expected = load_run(trained.folder).reconstruct(jax.random.key(0), images)
  np.testing.assert_allclose(found['means'], expected, rtol=1e-5)
  assert png.is_file()


@pytest.mark.parametrize(
  ('arrays', 'message'),
  [
    (
      {'images': np.zeros((3, 9, 8), np.uint8)},
      'got examples of 9 x 8 x 1, expected 8 x 8 x 1 as those of',
    ),
    ({'other': np.zeros(3)}, "got 'other', expected an array 'images'"),
    ({'images': np.zeros((0, 8, 8), np.uint8)}, 'expected one example'),
    (
      {'images': np.linspace(-3, 3, 192).reshape(3, 8, 8)},
      '--likelihood=bernoulli',
    ),
  ],
)
def test_unsuitable_files_are_one_line(arrays, message, trained, tmp_path):
  path = tmp_path / 'own.npz'
  np.savez(path, **arrays)
  asked = options(ReconstructConfig, trained, tmp_path, dataset=str(path))
  with pytest.raises(UserError, match=message) as error:
    reconstruct(asked)
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
  ('more', 'message'),
  [
    ({'class_': '3'}, '--class: got 3 with a run that has no condition'),
    ({'size': 2.0}, '--size: got 2.0 with a run without --size_factor'),
    ({'of_seed': 5}, '--of_seed: got 5 with a run of seed 0'),
    ({'workdir': '/nowhere'}, 'no such folder'),
  ],
)
def test_unsuitable_options_are_one_line(more, message, trained, tmp_path):
  with pytest.raises(UserError, match=message) as error:
    sample(options(SampleConfig, trained, tmp_path, **more))
  assert '\n' not in str(error.value)


def test_run_before_its_first_step_is_refused(copied):
  checkpoints = copied.folder / 'checkpoints'
  for path in (*checkpoints.glob('step_*'), *checkpoints.glob('best/*')):
    path.unlink()
  with pytest.raises(UserError, match='has no checkpoint'):
    open_run(SampleConfig(workdir=str(copied.folder)), 'samples')


class Run:
  """A run as far as its conditions go."""

  def __init__(self, *classes):
    self.condition = data.Condition(classes)
    self.config = lambda: None
    self.config.data = lambda: None
    self.config.data.dataset, self.config.data.data_dir = 'digits', ''


def test_class_is_a_number_or_a_name(monkeypatch):
  names = ['', 'cat', 'dog']
  monkeypatch.setattr(data, 'class_names', lambda *args, **options: names)
  digits, animals = Run(1, 2), Run('cat', 'dog')
  assert conditions_of(digits, '2', 3).y.tolist() == [2, 2, 2]
  assert conditions_of(digits, 'dog', 2).y.tolist() == [2, 2]
  assert conditions_of(digits, '', 3).y.tolist() == [1, 2, 1]
  assert conditions_of(animals, 'dog', 1).y.tolist() == ['dog']
  monkeypatch.setattr(data, 'class_names', lambda *args, **options: [])
  assert conditions_of(animals, '0', 1).y.tolist() == ['cat']
  for wanted in ('emu', '2', '-1'):
    with pytest.raises(UserError, match='classes: cat, dog'):
      conditions_of(animals, wanted, 1)


def test_first_examples_are_all_where_there_are_fewer():
  x = np.arange(5.0)[:, None]
  rows = data.Rows(x, np.arange(5))
  found = Examples(rows, {'x': x}, 'words', [])
  assert found.first(5) is found
  some = found.first(2)
  assert some.stored.labels.tolist() == [0, 1]
  assert some.x['x'].shape == (2, 1)
  assert some.words == 'first 2 of words'
