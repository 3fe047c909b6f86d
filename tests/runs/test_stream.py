"""Runs whose training images are read from disk: the same bits as in memory."""

import json

import jax
import numpy as np
import pytest

from vae_jax import data
from vae_jax.data import feed, local, memory, tfds_sets
from vae_jax.errors import UserError
from vae_jax.runs import (
  Config,
  EvaluateConfig,
  evaluate,
  splits,
  train,
  trainer,
)
from vae_jax.runs.recipe import make_run
from vae_jax.runs.report import build

SMALL = {'hidden_sizes': (8,), 'latent_dim': 2, 'batch_size': 100}


@pytest.fixture(scope='module')
def shards(tmp_path_factory):
  """The digits as a folder of shards: their splits are those of 'digits'."""
  folder = tmp_path_factory.mktemp('digits')
  for part, split in local.read_digits().items():
    for number, rows in enumerate(np.array_split(np.arange(len(split.x)), 3)):
      np.save(folder / f'{part}-{number}.npy', split.x[rows])
      np.save(folder / f'{part}_labels-{number}.npy', split.labels[rows])
  return str(folder)


@pytest.fixture
def small_blocks(monkeypatch):
  """Makes blocks of eight steps of the digits, the fewest of a real run."""
  monkeypatch.setattr(feed, '_BUFFER_BYTES', 8 * 100 * 64)


def trained(config, sizes):
  """Returns the state after two epochs, in calls of these sizes in turn."""
  recipe = make_run(config).recipe
  state, number = recipe.init(), 0
  for epoch in range(2):
    end = (epoch + 1) * recipe.steps_per_epoch
    state = state._replace(epoch=np.int32(epoch))
    while (step := int(state.train.step)) < end:
      left = recipe.steps_per_block - step % recipe.steps_per_epoch % (
        recipe.steps_per_block
      )
      count = min(sizes[number % len(sizes)], end - step, left)
      state, finite = recipe.steps(state, count)
      assert finite
      number += 1
  return state, recipe


def assert_same_bits(one, other):
  for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True):
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.slow
def test_digits_from_disk_train_to_the_same_bits(shards, small_blocks):
  held, recipe = trained(Config(**SMALL), (99,))
  config = Config(**SMALL, dataset=shards, stream='always')
  streamed, from_disk = trained(config, (1, 3, 99))
  assert from_disk.steps_per_block == 8
  assert recipe.steps_per_block == recipe.steps_per_epoch == 13
  assert_same_bits(streamed, held)
  assert from_disk.measure(streamed) == recipe.measure(held)
  assert from_disk.validate(held.train.params) == recipe.validate(
    held.train.params
  )


def test_many_seeds_of_images_on_disk_are_refused(shards):
  config = Config(**SMALL, dataset=shards, stream='always', num_seeds=2)
  wanted = r'--num_seeds: got 2 .*on disk \(--stream=always\), expected 1. T'
  with pytest.raises(UserError, match=wanted):
    make_run(config)


@pytest.mark.slow
def test_mnist_from_disk_trains_to_the_same_bits(real_data, monkeypatch):
  opened = tfds_sets.open_split
  first = lambda builder, split: opened(builder, f'{split}[:4000]')
  monkeypatch.setattr(tfds_sets, 'open_split', first)
  monkeypatch.setattr(feed, '_BUFFER_BYTES', 10 * 100 * 784)
  options = {'dataset': 'mnist', 'data_dir': str(real_data / 'tfds')} | SMALL
  held, _ = trained(Config(**options, stream='never'), (99,))
  streamed, recipe = trained(Config(**options, stream='always'), (7, 2))
  assert recipe.steps_per_block == 10
  assert_same_bits(streamed, held)


def test_digests_from_disk_are_those_in_memory(shards, capsys):
  config = Config(dataset=shards, stream='always')
  digests = splits.digests_of(splits.load(Config()))
  found = splits.load(config, digests)
  assert isinstance(found['train'].x, data.Streamed)
  assert splits.digests_of(found) == digests
  assert 'are read from disk' in capsys.readouterr().out
  with pytest.raises(UserError, match=r'other data \(1375 train examples\)'):
    splits.load(config, digests | {'train': ''})


@pytest.mark.slow
def test_scalars_and_statistics_are_those_in_memory(shards):
  options = SMALL | {'likelihood': 'normal'}
  held = make_run(Config(**options))
  streamed = make_run(Config(**options, dataset=shards, stream='always'))
  params = held.recipe.init().train.params
  assert_same_bits(streamed.recipe.init().train.params, params)
  assert streamed.unsettled(params) == held.unsettled(params) != []


@pytest.mark.quick('test-7', 'test-0')
@pytest.mark.parametrize('count', [0, 7])
@pytest.mark.parametrize('name', ['train', 'validation', 'test'])
def test_split_from_disk_is_evaluated_in_memory(name, count, shards):
  config = Config(dataset=shards, stream='always')
  digests = splits.digests_of(splits.load(Config()))
  found, x = splits.load_split(config, name, digests, num_examples=count)
  expected, exact = splits.load_split(Config(), name, num_examples=count)
  np.testing.assert_array_equal(found.x, expected.x)
  np.testing.assert_array_equal(found.labels, expected.labels)
  np.testing.assert_array_equal(x, exact)
  _, whole = splits.load_split(Config(), name)
  np.testing.assert_array_equal(x, whole[: count or None])


def test_training_split_larger_than_the_memory_is_not_evaluated_whole(
  shards, monkeypatch
):
  monkeypatch.setattr(memory, 'physical_memory', lambda: 50_000)
  config = Config(dataset=shards)
  with pytest.raises(UserError, match=r'--num_examples: got .* GiB of'):
    splits.load_split(config, 'train')
  assert len(splits.load_split(config, 'train', num_examples=9)[1]) == 9


def test_grey_levels_are_judged_on_disk(shards):
  config = Config(dataset=shards, stream='always', binarisation='none')
  with pytest.raises(UserError, match=r'has grey pixels \([0-9]+% of all'):
    make_run(config)


@pytest.mark.slow
def test_run_resumes_with_data_in_memory_or_on_disk(
  shards, small_blocks, tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(trainer, '_report', lambda *args: {})
  digests = []
  for name, streams in (
    ('memory', {2: 'never'}),
    ('mixed', {1: 'never', 2: 'always'}),
  ):
    for epochs, stream in streams.items():
      options = {'num_epochs': epochs, 'dataset': shards, 'stream': stream}
      train(Config(**SMALL, **options), folder=tmp_path / name)
    path = tmp_path / name / 'checkpoints' / 'step_000000026.json'
    digests.append(json.loads(path.read_text())['sha256'])
  assert len(set(digests)) == 1
  assert 'stream was never, is always' in capsys.readouterr().out


@pytest.mark.slow
def test_streamed_run_is_evaluated(shards, tmp_path, monkeypatch):
  monkeypatch.setattr(trainer, '_report', lambda *args: {})
  config = Config(**SMALL, num_epochs=1, dataset=shards, stream='always')
  train(config, folder=tmp_path)
  runs = []
  monkeypatch.setattr(
    build, 'report', lambda run, *args, **kw: runs.append(run) or ({}, [])
  )
  options = {'workdir': str(tmp_path), 'split': 'train', 'num_examples': 9}
  evaluate(EvaluateConfig(**options))
  assert len(runs[0].x) == len(runs[0].stored.labels) == 9
  assert not runs[0].is_whole
