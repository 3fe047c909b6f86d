import dataclasses
import json
import logging
import os
import pathlib
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax import (
  checkpoint,
  data,
  evaluation,
  lock,
  loop,
  signals,
  workdir,
)
from vae_jax.config import Config, EvaluateConfig
from vae_jax.errors import UserError
from vae_jax.objectives import describe

FAST = Config(
  num_epochs=2,
  hidden_sizes=(16,),
  latent_dim=2,
  batch_size=500,
  nll_num_samples=3,
)


def lines(folder):
  path = folder / 'metrics.jsonl'
  return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def undrawn(monkeypatch):
  """Leaves out the figures, which take the most time."""
  for module in (loop, evaluation):
    monkeypatch.setattr(module.outcome, 'present', lambda *args: [])


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """A run of two epochs, its table as printed, and its test metrics."""
  folder = tmp_path_factory.mktemp('run')
  return folder, loop.train(FAST, str(folder))


def test_a_run_leaves_all_its_files(finished):
  folder, _ = finished
  names = {path.name for path in folder.iterdir()}
  assert names == {
    *('config.json', 'metrics.jsonl', 'report.html', 'checkpoints', 'figures'),
    '.lock',
  }
  figures = {path.stem for path in (folder / 'figures').glob('*.png')}
  assert figures == {
    *('interpolations', 'kl_per_dimension', 'latent_manifold'),
    *('learning_curve', 'nll_curve', 'posterior_means', 'prior_samples'),
    *('reconstructions', 'traversals'),
  }
  # A slow machine saves earlier steps too.
  assert checkpoint.steps(folder / 'checkpoints')[-1] == 4
  assert workdir.read_config(folder) == FAST


def test_metrics_tell_of_every_epoch_and_the_test(finished):
  folder, metrics = finished
  keys = [
    (line['step'], line['epoch'], line['split']) for line in lines(folder)
  ]
  assert keys == [
    (2, 1, 'train'),
    (2, 1, 'validation'),
    (4, 2, 'train'),
    (4, 2, 'validation'),
    (4, 2, 'test'),
  ]
  last = lines(folder)[-1]
  assert last['nll_num_samples'] == 3
  for name, value in metrics.items():
    np.testing.assert_allclose(last[name], value)
  for line in lines(folder):
    if line['split'] != 'test':
      np.testing.assert_allclose(
        line['elbo'], line['log_likelihood'] - line['kl'], rtol=1e-3
      )
  assert lines(folder)[0]['examples_per_second'] > 0


def test_training_raises_the_bound(tmp_path, undrawn):
  config = dataclasses.replace(
    FAST, num_epochs=60, batch_size=50, hidden_sizes=(64,), latent_dim=8
  )
  loop.train(config, str(tmp_path))
  train, validation = data.load_train('digits', num_validation=1000)
  mean = np.clip(train.images.mean(axis=0) / 255, 0.001, 0.999)
  held_out = validation.images.mean(axis=0) / 255
  # What the best model without a latent gives: independent pixels.
  independent = np.sum(
    held_out * np.log(mean) + (1 - held_out) * np.log1p(-mean)
  )
  elbo = [x['elbo'] for x in lines(tmp_path) if x['split'] == 'validation']
  assert elbo[-1] > independent + 2
  assert elbo[-1] > elbo[0]


def test_same_seed_same_numbers(finished, tmp_path, undrawn):
  _, first = finished
  assert loop.train(FAST, str(tmp_path)) == first


def told(folder):
  """Returns the lines without what the clock says."""
  return [
    {k: v for k, v in line.items() if k != 'examples_per_second'}
    for line in lines(folder)
  ]


def stop_at(monkeypatch, target, name, when):
  """Stops the run after the first call of a function that `when` picks."""
  original = getattr(target, name)

  def stopping(*args, **kwargs):
    result = original(*args, **kwargs)
    if when(*args):
      monkeypatch.setattr(target, name, original)
      raise signals.Stopped(signal.SIGTERM)
    return result

  monkeypatch.setattr(target, name, stopping)


MetricsLogger = loop.logger.MetricsLogger
STOPS = {
  'within an epoch': (loop, '_check', lambda run, bad: True, 1),
  'at the end of its steps': (loop, '_steps_left', lambda run, s: s.epoch, 2),
  'before its validation': (loop, 'epoch_metrics', lambda s, n: n == 2, 2),
  'after one of its lines': (
    *(MetricsLogger, 'write'),
    *(lambda self, step, epoch, split, values: epoch == 2, 4),
  ),
  'after its last line': (
    *(MetricsLogger, 'write'),
    *(lambda self, step, epoch, split, values: split == 'validation', 2),
  ),
  'while saving': (loop.runs.checkpoint, 'save', lambda folder, *a: True, 0),
  'in the report': (loop.report, 'measure', lambda *args: True, 4),
}


@pytest.mark.parametrize('moment', STOPS)
def test_a_stopped_run_goes_on_to_the_same_bits(
  moment, finished, tmp_path, monkeypatch, undrawn
):
  folder, straight = finished
  target, name, when, step = STOPS[moment]
  stop_at(monkeypatch, target, name, when)
  with pytest.raises(signals.Stopped):
    loop.train(FAST, str(tmp_path))
  assert checkpoint.steps(tmp_path / 'checkpoints')[-1] == step
  assert loop.train(FAST, str(tmp_path)) == straight
  assert told(tmp_path) == told(folder)
  last = pathlib.Path('checkpoints', 'step_000000004.npz')
  assert (tmp_path / last).read_bytes() == (folder / last).read_bytes()


def test_a_finished_run_only_reports_again(finished):
  folder, straight = finished
  before = (folder / 'metrics.jsonl').read_bytes()
  assert loop.train(FAST, str(folder)) == straight
  assert (folder / 'metrics.jsonl').read_bytes() == before


def test_more_epochs_go_on_and_other_flags_are_told(
  tmp_path, finished, capsys, undrawn
):
  folder, straight = finished
  loop.train(dataclasses.replace(FAST, num_epochs=1), str(tmp_path))
  more = dataclasses.replace(FAST, nll_num_samples=3, keep_checkpoints=5)
  capsys.readouterr()
  assert loop.train(more, str(tmp_path)) == straight
  printed = capsys.readouterr().out
  assert 'num_epochs was 1, is 2\n' in printed
  assert 'keep_checkpoints was 2, is 5\n' in printed
  assert workdir.read_config(tmp_path) == more
  reports = [line for line in told(tmp_path) if line['split'] == 'test']
  assert [line['step'] for line in reports] == [2, 4]
  assert [x for x in told(tmp_path) if x not in reports[:1]] == told(folder)
  with pytest.raises(UserError, match='num_epochs=2, not 1'):
    loop.train(dataclasses.replace(FAST, num_epochs=1), str(tmp_path))


def test_a_second_process_is_kept_out(finished):
  folder, _ = finished
  with lock.claim(folder):
    with pytest.raises(UserError, match=f'process {os.getpid()} on'):
      loop.train(FAST, str(folder))
    with pytest.raises(UserError, match='writes there now'):
      evaluation.evaluate_run(EvaluateConfig(workdir=str(folder)))


def test_other_options_in_the_same_folder_lose_nothing(finished):
  folder, _ = finished
  before = (folder / 'metrics.jsonl').read_bytes()
  other = dataclasses.replace(FAST, latent_dim=3)
  with pytest.raises(UserError, match='latent_dim=2, not 3'):
    loop.train(other, str(folder))
  assert (folder / 'metrics.jsonl').read_bytes() == before


def test_a_run_that_never_saved_does_not_block_its_folder(tmp_path, undrawn):
  workdir.write_config(tmp_path, dataclasses.replace(FAST, latent_dim=9))
  loop.train(FAST, str(tmp_path))
  assert workdir.read_config(tmp_path) == FAST


def test_batch_larger_than_the_training_set(tmp_path):
  config = dataclasses.replace(FAST, batch_size=5000)
  with pytest.raises(UserError, match=r'batch_size=5000.*has 1375 images'):
    loop.train(config, str(tmp_path))
  assert not (tmp_path / 'config.json').exists()


def test_grey_pixels_without_binarisation(tmp_path):
  config = dataclasses.replace(FAST, binarisation='none')
  with pytest.raises(UserError, match='grey pixels'):
    loop.train(config, str(tmp_path))


def test_a_black_and_white_file_needs_no_binarisation(tmp_path, undrawn):
  images = np.random.RandomState(0).randint(0, 2, (60, 4, 4), np.uint8)
  path = tmp_path / 'shapes.npz'
  np.savez(path, images=images)
  config = dataclasses.replace(
    FAST, dataset=str(path), binarisation='none', batch_size=10
  )
  metrics = loop.train(config, str(tmp_path / 'run'))
  assert np.isfinite(metrics['nll'])


def test_pictures_are_real_numbers_to_a_normal_likelihood(tmp_path):
  config = dataclasses.replace(FAST, likelihood='normal')
  metrics = loop.train(config, str(tmp_path))
  # Nothing is exact where there are hidden layers.
  assert set(metrics) & {'log_marginal', 'gap'} == set()
  figures = {path.stem for path in (tmp_path / 'figures').glob('*.png')}
  assert {'latent_manifold', 'prior_samples', 'reconstructions'} < figures
  # sigma starts at 1 and the mean at the training mean, before two steps.
  test = data.load_test('digits').images / 255
  train, _ = data.load_train('digits', num_validation=1000)
  mean = train.images.mean(axis=0) / 255
  independent = np.mean(np.sum((test - mean) ** 2, axis=(1, 2, 3))) / 2
  log_p = -independent - 32 * np.log(2 * np.pi)
  assert abs(metrics['log_likelihood'] - log_p) < 0.1 * abs(log_p)


LEARNS = {'learning_rate': 0.01, 'num_epochs': 12, 'batch_size': 200}


@pytest.mark.parametrize(
  ('likelihood', 'lowest', 'highest'),
  [
    # Digits have 17 levels of grey, and log2 17 = 4.1.
    ('discretised_logistic', 3.0, 7.5),
    ('categorical', 2.0, 7.5),
    ('continuous_bernoulli', 4.0, 7.5),
    # One sigma for pixels that are always off and those that vary.
    ('normal_optimal', 4.0, 8.5),
  ],
)
def test_likelihoods_of_pixels_learn_and_tell_their_bits(
  likelihood, lowest, highest, tmp_path, undrawn
):
  config = dataclasses.replace(FAST, likelihood=likelihood, **LEARNS)
  metrics = loop.train(config, str(tmp_path))
  # Pixels of equal levels cost 8 bits.
  assert lowest < metrics['bits_per_dimension'] < highest
  for name, value in lines(tmp_path)[-1].items():
    assert name not in metrics or value == metrics[name]
  elbo = [x['elbo'] for x in lines(tmp_path) if x['split'] == 'validation']
  assert elbo[-1] > elbo[0]


def test_sigma_of_a_fixed_normal_is_the_flags(tmp_path, monkeypatch):
  monkeypatch.setattr(loop, '_finish', lambda *args: {})
  found = []
  for sigma in (0.2, 0.4):
    folder = tmp_path / str(sigma)
    config = dataclasses.replace(FAST, likelihood='normal_fixed', sigma=sigma)
    loop.train(config, str(folder))
    found.append(lines(folder)[-1]['elbo'])
  assert found[0] != found[1]


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
  config = dataclasses.replace(FAST, learning_rate=1e30, num_epochs=20)
  wanted = r'step \d+ is not finite: .*\b(log_likelihood|kl) is .*that of step'
  with pytest.raises(UserError, match=wanted):
    loop.train(config, str(tmp_path))
  assert checkpoint.steps(tmp_path / 'checkpoints') == [0]


def test_steps_that_are_not_finite_are_skipped_and_counted(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(loop, '_finish', lambda *args: {})
  make_loss = loop.runs.make_loss

  def sometimes_nan(config, vae):
    loss = make_loss(config, vae)

    def wrapped(key, params, batch):
      value, terms = loss(key, params, batch)
      bad = jax.random.bernoulli(jax.random.clone(key), 0.3)
      return jnp.where(bad, jnp.nan, value), terms

    return wrapped

  monkeypatch.setattr(loop.runs, 'make_loss', sometimes_nan)
  config = dataclasses.replace(FAST, batch_size=100, on_nonfinite='skip')
  with jax.debug_key_reuse(False):
    loop.train(config, str(tmp_path))
  train = [line for line in lines(tmp_path) if line['split'] == 'train']
  assert 0 < sum(line['skipped_steps'] for line in train) < 26
  assert all(np.isfinite(line['loss']) for line in train)


def test_an_epoch_of_nothing_but_skipped_steps_stops_the_run(tmp_path):
  config = dataclasses.replace(
    FAST, learning_rate=1e30, num_epochs=20, on_nonfinite='skip'
  )
  wanted = 'after step 4 the elbo in training is nan|on validation is'
  with pytest.raises(UserError, match=wanted):
    loop.train(config, str(tmp_path))


def test_importance_weighted_objective_trains(tmp_path, undrawn):
  config = dataclasses.replace(FAST, objective='iwae', num_samples=3)
  loop.train(config, str(tmp_path))
  first = lines(tmp_path)[0]
  assert 'iw_elbo' in first
  assert 'elbo' not in first


def test_what_is_climbed_is_told_at_the_start(tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(loop, '_finish', lambda *args: {})
  config = dataclasses.replace(FAST, kl_warmup_epochs=1, estimator='stl')
  loop.train(config, str(tmp_path))
  printed = capsys.readouterr().out
  assert describe(config) in printed
  train = [line for line in lines(tmp_path) if line['split'] == 'train']
  # Two steps an epoch: 0 and 1/2, then 1 and 1.
  assert [line['beta'] for line in train] == [0.25, 1.0]
  for line in train:
    np.testing.assert_allclose(
      line['elbo'], line['log_likelihood'] - line['kl'], rtol=1e-3
    )


def test_gradients_are_monitored_on_the_way(tmp_path, monkeypatch):
  config = dataclasses.replace(
    FAST, num_epochs=3, monitor_gradients=True, batch_size=200
  )
  make = loop.monitor.make_monitor
  monkeypatch.setattr(
    loop.monitor, 'make_monitor', lambda *args: make(*args, (2,))
  )
  loop.train(config, str(tmp_path))
  measured = [x for x in lines(tmp_path) if x['split'] == 'gradients']
  assert [x['epoch'] for x in measured] == [1, 2, 3]
  assert measured[0]['dreg_k2_encoder_signal_to_noise'] > 0
  assert (tmp_path / 'figures' / 'gradients_encoder.png').is_file()


def test_discrete_latents_train_and_are_evaluated(tmp_path, undrawn):
  config = dataclasses.replace(
    FAST,
    posterior='bernoulli',
    prior='bernoulli',
    estimator='vimco',
    objective='iwae',
    num_samples=4,
    latent_dim=5,
  )
  metrics = loop.train(config, str(tmp_path))
  assert np.isfinite(metrics['nll'])
  np.testing.assert_allclose(
    metrics['elbo'], metrics['log_likelihood'] - metrics['kl'], rtol=1e-4
  )


@pytest.mark.parametrize(
  'change',
  [
    {'activation': 'relu'},
    {'beta': 3.0},
    {'form': 'joint'},
    {'form': 'entropy'},
    {'form': 'joint', 'estimator': 'stl'},
    {'estimator': 'mixture'},
    {'estimator': 'score_function'},
    {'free_bits': 1.0},
    {'kl_warmup_epochs': 2},
    {'hidden_sizes': (16, 16)},
    {'hidden_sizes': ()},
    {'likelihood': 'categorical'},
    {'likelihood': 'continuous_bernoulli'},
    {'likelihood': 'discretised_logistic'},
    {'likelihood': 'normal'},
    {'likelihood': 'normal_fixed'},
    {'likelihood': 'normal_optimal'},
    {'latent_dim': 3},
    {'learning_rate': 0.01},
    {'num_samples': 2},
    {'num_validation': 20},
    {'objective': 'iwae'},
    {'objective': 'iwae', 'num_samples': 2, 'estimator': 'dreg'},
    {'objective': 'miwae', 'num_groups': 2},
    {'objective': 'ciwae', 'num_samples': 2},
    {'objective': 'renyi', 'num_samples': 2},
    {'posterior': 'full_normal'},
    {'prior': 'laplace'},
    {'schedule': 'cosine'},
    {'schedule': 'iwae'},
    {'seed': 1},
  ],
  ids=lambda change: '-'.join(map(str, change.values())),
)
def test_every_option_changes_something(
  change, finished, tmp_path, monkeypatch
):
  monkeypatch.setattr(loop, '_finish', lambda *args: {})
  folder, _ = finished
  loop.train(dataclasses.replace(FAST, **change), str(tmp_path))
  assert lines(tmp_path)[3]['elbo'] != lines(folder)[3]['elbo']


def test_evaluation_of_a_run_repeats_and_logs(finished, capsys, inside):
  folder, metrics = finished
  options = EvaluateConfig(workdir=str(folder), num_samples=3)
  evaluation.evaluate_run(options)
  printed = capsys.readouterr().out
  assert f'{metrics["nll"]:.3f}' in printed
  assert 'NLL, K = 3' in printed
  last = lines(folder)[-1]
  assert (last['split'], last['epoch'], last['step']) == ('test', 2, 4)
  assert last['nll'] == metrics['nll']
  page = (folder / 'report.html').read_text()
  assert 'at step 4 (epoch 2)' in page


def test_evaluation_falls_back_to_the_older_checkpoint(
  tmp_path, caplog, undrawn
):
  often = dataclasses.replace(FAST, checkpoint_seconds=0.0)
  loop.train(often, str(tmp_path))
  newest = tmp_path / 'checkpoints' / 'step_000000004.npz'
  newest.write_bytes(newest.read_bytes()[:100])
  with caplog.at_level(logging.WARNING):
    evaluation.evaluate_run(
      EvaluateConfig(workdir=str(tmp_path), num_samples=3)
    )
  assert 'passing over' in caplog.text
  assert lines(tmp_path)[-1]['step'] < 4


def test_the_best_checkpoint_is_kept_and_evaluated(
  tmp_path, monkeypatch, undrawn
):
  monkeypatch.setattr(loop, '_finish', lambda *args: {})
  make_run = loop.runs.make_run
  elbos = iter([-2.0, -1.0, -3.0])
  validate = lambda params: dict.fromkeys(
    ('elbo', 'log_likelihood', 'kl'), next(elbos)
  )
  monkeypatch.setattr(
    loop.runs,
    'make_run',
    lambda *args: make_run(*args)._replace(validate=validate),
  )
  config = dataclasses.replace(FAST, num_epochs=3, keep_checkpoints=1)
  loop.train(config, str(tmp_path))
  assert checkpoint.steps(tmp_path / 'checkpoints') == [6]
  assert checkpoint.steps(tmp_path / 'checkpoints' / 'best') == [4]
  for name, step in (('best', 4), ('latest', 6)):
    options = EvaluateConfig(
      workdir=str(tmp_path), num_samples=2, checkpoint=name
    )
    evaluation.evaluate_run(options)
    assert lines(tmp_path)[-1]['step'] == step
