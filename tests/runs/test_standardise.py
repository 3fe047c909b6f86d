"""Standardised tables: statistics of training, recorded and applied to all."""

import json

import numpy as np
import pytest

from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.models.linear_gaussian import maximum_log_likelihood
from vae_jax.models.make import make_vae
from vae_jax.runs import (
  Config,
  EvaluateConfig,
  evaluate,
  load_run,
  splits,
  standardise,
  train,
)
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.report import exact

TABLE = np.random.RandomState(0).normal(size=(60, 4)) * [1, 10, 1e-4, 0]
TABLE += [0, 1000, -1e-3, 5]


@pytest.fixture
def config(tmp_path):
  np.save(tmp_path / 'table.npy', TABLE)
  return Config(
    dataset=str(tmp_path / 'table.npy'),
    likelihood='normal',
    standardise=True,
    hidden_sizes=(4,),
    latent_dim=2,
    batch_size=20,
    num_epochs=1,
    nll_num_samples=1,
    report='table',
  )


def test_statistics_are_those_of_the_training_split(config):
  stored = splits.load(config)
  found, statistics = splits.standardised(config, stored)
  x = found['train'].x
  assert x.dtype == np.float32
  np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-4)
  np.testing.assert_allclose(x.std(axis=0), [1, 1, 1, 0], rtol=1e-4)
  np.testing.assert_array_equal(statistics.scale[3], 1)
  for name in ('validation', 'test'):
    exact = (stored[name].x - statistics.mean) / statistics.scale
    np.testing.assert_allclose(found[name].x, exact, rtol=1e-6)
    assert np.any(found[name].x.mean(axis=0)[:3] != 0)
  np.testing.assert_allclose(
    statistics.undo(found['test'].x), stored['test'].x, rtol=1e-4
  )


def test_recorded_statistics_are_exact_and_are_used(config):
  stored = splits.load(config)
  _, statistics = splits.standardised(config, stored)
  text = json.dumps(statistics.record())
  read = standardise.read_statistics(json.loads(text))
  for a, b in zip(read, statistics, strict=True):
    np.testing.assert_array_equal(a, b)
  other = standardise.Statistics(np.ones(4, np.float32), np.ones(4, np.float32))
  found, used = splits.standardised(config, stored, other)
  assert used is other
  np.testing.assert_array_equal(found['test'].x, stored['test'].x - 1)
  plain = config.replace(standardise=False)
  assert splits.standardised(plain, stored) == (stored, None)


def test_channels_of_images_are_standardised():
  x = np.random.RandomState(0).normal(size=(9, 4, 5, 2)).astype(np.float32)
  found = standardise.statistics_of('a', x)
  np.testing.assert_allclose(found.mean, x.mean(axis=(0, 1, 2)), atol=1e-6)
  assert found.apply(x).shape == x.shape


@pytest.mark.parametrize(
  'content',
  [
    3,
    {'mean': [1]},
    {'mean': [1.0], 'scale': [0.0]},
    {'mean': [1.0], 'scale': [1.0, 2.0]},
    {'mean': ['a'], 'scale': [1.0]},
    {'mean': [float('nan')], 'scale': [1.0]},
  ],
)
def test_damaged_statistics_are_refused(content):
  with pytest.raises(UserError, match='expected mean and scale'):
    standardise.read_statistics(content)


def test_pixels_and_wide_tables_are_refused():
  for x, message in (
    (np.zeros((3, 2, 2, 1), np.uint8), '8-bit pixels'),
    (np.zeros((3, 10001), np.float32), 'got 10001 columns'),
  ):
    with pytest.raises(UserError, match=message):
      standardise.statistics_of('a', x)


@pytest.mark.slow
def test_run_evaluates_and_loads_with_its_statistics(config, tmp_path, capsys):
  folder = tmp_path / 'run'
  metrics = train(config, folder=folder)
  assert 'x is standardised by the training split' in capsys.readouterr().out
  record = RunFolder(folder).read_record()
  stored = splits.load(config, record.data_digests)
  again = evaluate(
    EvaluateConfig(workdir=str(folder), num_samples=1, report='table')
  )
  assert again['elbo'] == metrics['elbo']
  run = load_run(folder)
  x = run.preprocess(stored['test'].x)
  np.testing.assert_array_equal(x, record.statistics.apply(stored['test'].x))
  np.testing.assert_array_equal(run.of_seed(0).preprocess(stored['test'].x), x)
  # A resumed run keeps the recorded statistics and finds changed data.
  train(config.replace(num_epochs=2), folder=folder)
  now = RunFolder(folder).read_record().statistics
  np.testing.assert_array_equal(now.mean, record.statistics.mean)
  changed = TABLE.copy()
  changed[:, 0] += 1e-3
  np.save(config.data.dataset, changed)
  with pytest.raises(UserError, match='got other data'):
    train(config.replace(num_epochs=3), folder=folder)


@pytest.mark.slow
def test_exact_numbers_are_of_standardised_training_data(key):
  """The largest log-likelihood depends on the scale of the data."""
  config = Config(
    dataset='linear_gaussian',
    likelihood='normal',
    hidden_sizes=(),
    latent_dim=2,
    standardise=True,
  )
  found, statistics = splits.standardised(config, splits.load(config))
  model = make_vae(config.model, (10,))
  x = found['test'].x[:20]
  metrics = exact.measure_exact(
    config, model, model.init(key), x, np.zeros(20), statistics
  )
  best = maximum_log_likelihood(found['train'].x, 2)
  np.testing.assert_allclose(metrics['max_train_log_marginal'], best, rtol=1e-6)


@pytest.mark.slow
def test_images_are_changed_alike_when_a_run_is_loaded(tmp_path):
  rows = np.random.RandomState(0).randint(0, 256, (40, 64), np.uint8)
  np.save(tmp_path / 'rows.npy', rows)
  config = Config(
    dataset=str(tmp_path / 'rows.npy'),
    image_shape=(8, 8),
    resize=(5, 4),
    invert=True,
    hidden_sizes=(4,),
    latent_dim=2,
    batch_size=20,
    num_epochs=1,
    report='none',
  )
  train(config, folder=tmp_path / 'run')
  run = load_run(tmp_path / 'run')
  assert run.data_shape == (5, 4, 1)
  transform = data.Transform((8, 8), (5, 4), invert=True)
  test = data.load_test(config.data.dataset, transform=transform).x
  plain = data.load_test(config.data.dataset, transform=data.Transform((8, 8)))
  np.testing.assert_array_equal(
    run.preprocess(plain.x), splits.preprocess(config, test)
  )
  assert run.encode(rows[:3]).mean().shape == (3, 2)


@pytest.mark.parametrize('kind', ['nan', 'mask'])
def test_statistics_are_those_of_the_observed_numbers(kind):
  x = TABLE.astype(np.float32)
  mask = np.random.RandomState(1).uniform(size=x.shape) < 0.7
  mask[:, 0] = False
  holes = np.where(mask, x, np.float32(np.nan if kind == 'nan' else 1e6))
  found = standardise.statistics_of(
    'a', holes, mask if kind == 'mask' else None
  )
  for j in (1, 2):
    own = x[mask[:, j], j].astype(float)
    np.testing.assert_allclose(found.mean[j], own.mean(), rtol=1e-5)
    np.testing.assert_allclose(found.scale[j], own.std(), rtol=1e-5)
  # Nothing is observed of the first column, and the last one is constant.
  np.testing.assert_array_equal(found.mean[[0, 3]], [0, 5])
  np.testing.assert_array_equal(found.scale[[0, 3]], 1)
