"""Runs with a moving average, early stopping and part of the data."""

import json
import pathlib

import jax
import numpy as np
import pytest

from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.runs import (
  Config,
  EvaluateConfig,
  evaluate,
  load_run,
  loop,
  reported,
  splits,
  train,
)
from vae_jax.runs.folder import RunFolder

CONFIG = Config(
  num_epochs=3,
  hidden_sizes=(16,),
  latent_dim=2,
  batch_size=100,
  nll_num_samples=2,
  ema=0.95,
  patience=1,
  clip_norm=5.0,
  optimizer='adamw',
  train_fraction=0.25,
  report='table',
)


def lines(folder, split):
  text = (pathlib.Path(folder) / 'metrics.jsonl').read_text()
  return [x for x in map(json.loads, text.splitlines()) if x['split'] == split]


def arrays(folder):
  (*_, last) = sorted((folder / 'checkpoints').glob('step_*.npz'))
  return last.read_bytes()


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A run whose rate is so large that its bound falls after one epoch."""
  folder = tmp_path_factory.mktemp('options') / 'run'
  finish, bounds = loop.finish_epoch, iter([-20.0, -30.0])
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loop, 'finish_epoch', lambda s, elbo: finish(s, next(bounds)))
    metrics = train(CONFIG, folder=folder)
  return folder, metrics


@pytest.mark.slow
def test_report_is_that_of_the_average_of_the_best_epoch(run, capsys):
  folder, metrics = run
  assert [x['epoch'] for x in lines(folder, 'validation')] == [1, 2]
  (test,) = lines(folder, 'test')
  assert (test['epoch'], test['step']) == (1, 3)
  found = load_run(folder)
  assert found.metrics == test
  x = splits.preprocess(CONFIG, data.load_test('digits').x)
  for options, differs in (
    ({}, False),
    ({'checkpoint': 'best', 'parameters': 'ema'}, False),
    ({'parameters': 'raw'}, True),
    ({'checkpoint': 'latest'}, True),
  ):
    at = EvaluateConfig(
      workdir=str(folder), num_samples=2, report='table', **options
    )
    assert (evaluate(at)['elbo'] != metrics['elbo']) == differs, options
  out = capsys.readouterr().out
  assert 'moving average of the parameters (EMA 0.95)' in out
  assert 'raw parameters' in out
  names = {path.name for path in (folder / 'evaluations').iterdir()}
  assert names == {'test-step3-k2', 'test-raw-step3-k2', 'test-step6-k2'}
  assert len(x) == 270


@pytest.mark.slow
def test_validation_is_logged_of_both_parameters(run):
  for line in lines(run[0], 'validation'):
    assert np.isfinite(line['ema_elbo'])
    assert line['ema_elbo'] != line['elbo']


@pytest.mark.slow
def test_average_of_the_best_checkpoint_is_the_loaded_one(run):
  folder = RunFolder(run[0])
  raw = load_run(run[0], parameters='raw')
  found = load_run(run[0], parameters='ema')
  state = jax.tree.leaves(found.params), jax.tree.leaves(raw.params)
  assert all(np.any(a != b) for a, b in zip(*state, strict=True))
  path = folder.checkpoints / 'best' / 'step_000000003'
  names = [
    x[0] for x in json.loads(path.with_suffix('.json').read_text())['leaves']
  ]
  place = names.index('train/ema/params/encoder/loc/kernel')
  saved = np.load(path.with_suffix('.npz'))[f'arr_{place}']
  np.testing.assert_array_equal(found.params['encoder']['loc']['kernel'], saved)
  with pytest.raises(ValueError, match="expected 'auto' or 'raw' or 'ema'"):
    load_run(run[0], parameters='mean')


def test_average_of_a_run_without_one_is_refused(trained):
  at = EvaluateConfig(workdir=str(trained.folder), parameters='ema')
  with pytest.raises(UserError, match='got a run without --ema'):
    evaluate(at)
  assert reported.resolve_parameters(trained.config) == 'raw'


def test_part_of_the_training_set_is_fixed_and_nested():
  whole = splits.load(Config())
  half, tenth = (
    splits.load(Config(train_fraction=share)) for share in (0.5, 0.1)
  )
  assert [len(x['train'].x) for x in (whole, half, tenth)] == [1375, 688, 138]
  rows = lambda found: {x.tobytes() for x in found['train'].x}
  assert rows(tenth) < rows(half) < rows(whole)
  for name in ('validation', 'test'):
    np.testing.assert_array_equal(half[name].x, whole[name].x)
  again = splits.load(Config(train_fraction=0.5, seed=3))
  np.testing.assert_array_equal(again['train'].x, half['train'].x)
  # Labels stay with their images.
  label = {x.tobytes(): y for x, y in zip(*whole['train'][:2], strict=True)}
  assert all(
    label[x.tobytes()] == y for x, y in zip(*half['train'][:2], strict=True)
  )


@pytest.mark.parametrize('num_seeds', [1, 2])
@pytest.mark.slow
def test_resumed_run_with_every_option_is_bit_identical(num_seeds, tmp_path):
  config = CONFIG.replace(
    report='none', patience=9, num_seeds=num_seeds, on_nonfinite='skip'
  )
  train(config, folder=tmp_path / 'straight')
  for epochs in (1, 3):
    train(config.replace(num_epochs=epochs), folder=tmp_path / 'resumed')
  assert arrays(tmp_path / 'straight') == arrays(tmp_path / 'resumed')


@pytest.mark.slow
def test_a_run_resumes_with_another_objective(tmp_path, capsys):
  config = CONFIG.replace(report='none', num_epochs=1)
  train(config, folder=tmp_path / 'run')
  other = config.replace(
    objective='iwae',
    num_samples=3,
    estimator='dreg',
    num_epochs=2,
    learning_rate=0.01,
  )
  with pytest.raises(UserError, match='or --resume_with_changes to change'):
    train(other, folder=tmp_path / 'run')
  capsys.readouterr()
  train(other.replace(resume_with_changes=True), folder=tmp_path / 'run')
  assert 'learning_rate was 0.001, is 0.01' in capsys.readouterr().out
  assert np.isfinite(lines(tmp_path / 'run', 'train')[-1]['iw_elbo'])
  content = json.loads((tmp_path / 'run' / 'config.json').read_text())
  (change,) = content['changes']
  assert change['step'] == 3
  assert change['options']['objective'] == ['elbo', 'iwae']
  assert content['objective']['objective'] == 'iwae'
