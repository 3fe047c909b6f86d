"""Whole training runs: one of each kind, as they compile and draw."""

import json
import pathlib
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vae_jax as vj
from vae_jax import data
from vae_jax.errors import UserError
from vae_jax.io import checkpoint, lock
from vae_jax.runs import (
  Config,
  EvaluateConfig,
  evaluate,
  load_run,
  recipe,
  train,
  trainer,
)
from vae_jax.runs.describe import describe
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.report import figures

OLD = pathlib.Path(__file__).parent / 'folder_of_2f613a7'
TEST_KEYS = [
  *('elbo', 'elbo_standard_error', 'log_likelihood', 'kl'),
  *('nll_k1', 'nll_k1_standard_error', 'nll', 'nll_standard_error'),
  *('nll_num_samples', 'active_units', 'latent_units'),
]


def lines(folder):
  text = (folder / 'metrics.jsonl').read_text()
  return [json.loads(line) for line in text.splitlines()]


def test_run_has_all_its_files(trained):
  names = {path.name for path in trained.folder.iterdir()}
  assert names == {
    *('config.json', 'metrics.jsonl', 'report.html', 'checkpoints', 'figures'),
    '.lock',
  }
  figures = {path.stem for path in (trained.folder / 'figures').glob('*.png')}
  assert figures == {
    *('interpolations', 'kl_per_dimension', 'latent_manifold'),
    *('learning_curve', 'nll_curve', 'posterior_means', 'prior_samples'),
    *('reconstructions', 'traversals'),
  }
  # A slow machine saves earlier steps too.
  assert checkpoint.steps(trained.folder / 'checkpoints')[-1] == 4
  record = RunFolder(trained.folder).read_record()
  assert record.config == trained.config
  assert record.data_shape == (8, 8, 1)
  printed = trained.printed.splitlines()
  (named,) = [line for line in printed if line.startswith('Files in ')]
  for name in (*figures, 'config.json', 'metrics.jsonl', 'report.html'):
    assert name in named


def test_metrics_have_exactly_these_keys(trained):
  place = ['step', 'epoch', 'split']
  terms = ['elbo', 'kl', 'log_likelihood']
  found = lines(trained.folder)
  assert [(x['step'], x['epoch'], x['split']) for x in found] == [
    *((2, 1, 'train'), (2, 1, 'validation')),
    *((4, 2, 'train'), (4, 2, 'validation'), (4, 2, 'test')),
  ]
  train_keys = [*place, *terms, 'grad_norm', 'loss', 'examples_per_second']
  for line in found:
    expected = {
      'train': train_keys,
      'validation': [*place, *terms],
      'test': [*place, *TEST_KEYS],
    }[line['split']]
    assert sorted(line) == sorted(expected)


def test_returned_metrics_are_those_of_the_log(trained):
  assert list(trained.metrics) == TEST_KEYS
  last = lines(trained.folder)[-1]
  assert {name: last[name] for name in TEST_KEYS} == trained.metrics
  assert last['nll_num_samples'] == 3
  for line in lines(trained.folder):
    np.testing.assert_allclose(
      line['elbo'], line['log_likelihood'] - line['kl'], rtol=1e-3
    )


def test_objective_and_progress_are_printed(trained):
  assert 'digits: 1375 training examples, 2 epochs of 2' in trained.printed
  assert describe(trained.config) in trained.printed
  assert 'epoch    2/2  train ELBO -' in trained.printed
  assert 'NLL, K = 3: 0 of 5\n' in trained.printed
  assert 'figures: 0 done\n' in trained.printed
  assert re.search(r'training time +[\d.]+ s\n', trained.printed)


@pytest.mark.slow
def test_completed_run_reports_the_same_again(copied, undrawn):
  before = (copied.folder / 'metrics.jsonl').read_bytes()
  assert train(copied.config, folder=copied.folder) == copied.metrics
  assert (copied.folder / 'metrics.jsonl').read_bytes() == before


@pytest.mark.slow
def test_a_run_without_report_has_one_later(copied, monkeypatch, capsys):
  path = copied.folder / 'metrics.jsonl'
  kept = [x for x in path.read_text().splitlines() if '"test"' not in x]
  path.write_text('\n'.join(kept) + '\n')
  (copied.folder / 'report.html').unlink()
  monkeypatch.setattr(figures, 'draw_all', None)
  none, table = (copied.config.replace(report=x) for x in ('none', 'table'))
  assert train(none, folder=copied.folder) == {}
  assert 'no report (--report=none)' in capsys.readouterr().out
  assert path.read_text().splitlines() == kept
  assert not (copied.folder / 'report.html').exists()
  assert load_run(copied.folder).metrics is None
  assert train(table, folder=copied.folder) == copied.metrics
  printed = capsys.readouterr().out
  assert re.search(r'training time +0\.\d s since step 4\n', printed)
  assert 'No figures (--report=table)' in printed
  page = (copied.folder / 'report.html').read_text()
  assert '<img' not in page
  assert f'{copied.metrics["elbo"]:.3f}' in page


STRANGE = [
  *(None, '"a word"'),
  *(pytest.param(x, marks=pytest.mark.slow) for x in ('Infinity', 'null')),
  pytest.param('9' * 400, marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize('elbo', STRANGE, ids=lambda x: str(x)[:9])
def test_numbers_of_a_run_come_before_its_curves(
  copied, monkeypatch, capsys, elbo
):
  """Without metrics.jsonl, or with one of another program."""
  monkeypatch.setattr(figures.image_figures, 'draw_all', lambda *args: iter(()))
  path = copied.folder / 'metrics.jsonl'
  if elbo is None:
    path.unlink()
  else:
    line = '{"step": 2, "epoch": 1, "split": "train", "elbo": %s}\n'
    path.write_text(line % elbo)
  assert train(copied.config, folder=copied.folder) == copied.metrics
  table, _, rest = capsys.readouterr().out.partition('training time')
  assert 'NLL, K = 3' in table
  (warning,) = [x for x in rest.splitlines() if x.startswith('warning')]
  assert 'learning_curve.png: skipped, metrics.jsonl has no bound' in warning
  assert (copied.folder / 'report.html').exists()


def without_training(monkeypatch):
  """Lets `train` begin, and leaves out the loop and the report."""
  states = []

  def train_loop(run, folder, state, **options):
    states.append((run, state, options))
    return state

  monkeypatch.setattr(trainer.loop, 'train_loop', train_loop)
  monkeypatch.setattr(trainer, '_report', lambda *args: {})
  return states


def test_changed_options_are_printed_and_recorded(copied, monkeypatch, capsys):
  states = without_training(monkeypatch)
  monkeypatch.setattr(
    recipe.scalars, 'unsettled_scalars', lambda *args: ['the parameter moves']
  )
  more = copied.config.replace(
    num_epochs=3, keep_checkpoints=5, checkpoint_seconds=7.0
  )
  train(more, folder=str(copied.folder))
  printed = capsys.readouterr().out
  assert 'num_epochs was 2, is 3\n' in printed
  assert 'keep_checkpoints was 2, is 5\n' in printed
  assert 'resuming from step 4\n' in printed
  assert 'x: images of 8 x 8 x 1; binarised at each visit' in printed
  assert 'warning: the parameter moves. Use more --num_epochs' in printed
  record = RunFolder(copied.folder).read_record()
  assert record.config == more
  assert record.data_shape == (8, 8, 1)
  ((run, state, options),) = states
  assert (run.num_epochs, int(state.train.step)) == (3, 4)
  assert options == {'checkpoint_seconds': 7.0, 'keep_checkpoints': 5}


def test_other_options_in_the_same_folder_lose_nothing(copied):
  before = {p: p.read_bytes() for p in copied.folder.rglob('*') if p.is_file()}
  with pytest.raises(UserError, match='latent_dim=3, expected 2'):
    train(copied.config.replace(latent_dim=3), folder=copied.folder)
  del before[copied.folder / '.lock']
  for path, content in before.items():
    assert path.read_bytes() == content


def test_resume_tells_what_is_not_as_at_the_start(
  copied, monkeypatch, capsys, caplog
):
  without_training(monkeypatch)
  path = copied.folder / 'config.json'
  content = json.loads(path.read_text())
  content['versions'] |= {'jax': '0.1', 'optax': '0.2', 'flax': '0.3'}
  content['git_revision'] = 'abc'
  content['run']['nll_num_samples'] = 4
  path.write_text(json.dumps(content))
  train(copied.config, folder=copied.folder)
  printed = capsys.readouterr().out
  for name in ('jax 0.1', 'optax 0.2', 'flax 0.3', 'revision abc'):
    assert f'warning: the run started with {name}, this is ' in printed
  assert 'was edited after the run wrote it' in caplog.text
  after = json.loads(path.read_text())
  assert after['versions'] == content['versions']
  assert after['git_revision'] == 'abc'
  assert len(after['resumed']) == 1


def test_finished_run_without_checkpoints_is_left_as_it_is(copied):
  shutil.rmtree(copied.folder / 'checkpoints')
  before = {p: p.read_bytes() for p in copied.folder.rglob('*') if p.is_file()}
  for config in (copied.config, copied.config.replace(latent_dim=3)):
    with pytest.raises(UserError, match='without a checkpoint of a run'):
      train(config, folder=copied.folder)
  after = {p: p.read_bytes() for p in copied.folder.rglob('*') if p.is_file()}
  assert after == before


def test_data_of_another_shape_are_refused(copied, monkeypatch):
  path = copied.folder / 'config.json'
  record = json.loads(path.read_text())
  path.write_text(json.dumps(record | {'data_shape': [8, 8, 3]}))
  without_training(monkeypatch)
  wanted = r'shape \(8, 8, 1\), expected \(8, 8, 3\)'
  with pytest.raises(UserError, match=wanted):
    train(copied.config, folder=copied.folder)


def test_second_process_is_refused(copied):
  with lock.claim(copied.folder):
    with pytest.raises(UserError, match='writes there now'):
      train(copied.config, folder=copied.folder)
    with pytest.raises(UserError, match='writes there now'):
      evaluate(EvaluateConfig(workdir=str(copied.folder)))


def test_run_without_a_checkpoint_does_not_block_its_folder(
  tmp_path, trained, monkeypatch
):
  without_training(monkeypatch)
  other = trained.config.replace(latent_dim=9)
  RunFolder(tmp_path).write_record(
    RunFolder(trained.folder).read_record()._replace(config=other)
  )
  train(trained.config, folder=tmp_path)
  assert RunFolder(tmp_path).read_record().config == trained.config


def test_folder_comes_from_argument_option_or_dataset(
  inside, trained, monkeypatch
):
  without_training(monkeypatch)
  monkeypatch.setattr(trainer, '_begin', begin := lambda folder, *rest: 1 / 0)
  del begin
  for config, folder, expected in (
    (trained.config, 'here', 'here'),
    (trained.config.replace(workdir='there'), '', 'there'),
    (trained.config.replace(workdir='there'), 'here', 'here'),
    (trained.config, '', 'runs/digits'),
  ):
    with pytest.raises(ZeroDivisionError):
      train(config, folder=folder)
    assert (inside / expected / '.lock').is_file()
    shutil.rmtree(inside / expected)


def test_unsuitable_data_leave_no_run(tmp_path, trained):
  for options, message in (
    ({'batch_size': 5000}, 'batch_size: got 5000, expected at most 1375'),
    ({'binarisation': 'none'}, 'grey pixels'),
    ({'dataset': 'none.npz'}, 'no such file'),
  ):
    with pytest.raises(UserError, match=message):
      train(trained.config.replace(**options), folder=tmp_path / 'a' / 'b')
    assert not (tmp_path / 'a').exists()


@pytest.mark.slow
def test_folder_of_an_older_version_is_resumed_and_evaluated(
  tmp_path, undrawn, capsys
):
  """The folder was written by commit 2f613a7, which had flat options."""
  folder = tmp_path / 'old'
  shutil.copytree(OLD, folder)
  loaded = load_run(folder)
  assert loaded.config.objective.estimator == 'adaptive'
  assert loaded.data_shape == (8, 8, 1)
  options = EvaluateConfig(workdir=str(folder), num_samples=3)
  metrics = evaluate(options)
  (log,) = (folder / 'evaluations').glob('*/metrics.jsonl')
  before, line = lines(OLD)[-1], json.loads(log.read_text())
  assert (line['step'], line['epoch'], line['num_examples']) == (2, 1, 270)
  assert lines(folder) == lines(OLD)
  for name in TEST_KEYS:
    np.testing.assert_allclose(metrics[name], before[name], rtol=1e-4)
  config = loaded.config.replace(num_epochs=2)
  resumed = train(config, folder=folder)
  assert 'num_epochs was 1, is 2\n' in capsys.readouterr().out
  # The numbers of the second epoch as commit 2f613a7 computed them.
  for name, value in {
    'elbo': -28.192178365919325,
    'log_likelihood': -27.357646942138672,
    'kl': 0.8345306515693665,
    'nll': 27.469690167462385,
  }.items():
    np.testing.assert_allclose(resumed[name], value, rtol=1e-4)
  assert RunFolder(folder).read_record().data_shape == (8, 8, 1)


class TwoGaussians:
  """A model of one's own: only `init` and `condition`, params not a dict."""

  def init(self, key):
    return [0.1 * jax.random.normal(key, (3, 16)), jnp.zeros(16)]

  def condition(self, params, example):
    weights, bias = params
    x = jnp.ravel(example)
    loc = weights @ (x - jnp.mean(x))
    return vj.Inference(
      posterior=vj.Normal(loc, jnp.full(3, -1.0)),
      prior=vj.Normal(jnp.zeros(3), jnp.zeros(3)),
      likelihood=lambda z: vj.Bernoulli(
        (z @ weights + bias).reshape(example.shape)
      ),
      x=example,
    )


@pytest.mark.slow
def test_model_and_optimizer_from_python_are_trained_and_evaluated(
  tmp_path, capsys, monkeypatch
):
  make = recipe.monitor.make_monitor
  monkeypatch.setattr(
    recipe.monitor, 'make_monitor', lambda *args: make(*args, (2,))
  )
  images = np.random.RandomState(0).randint(0, 256, (60, 4, 4), np.uint8)
  np.savez(tmp_path / 'small.npz', images=images)
  config = Config(
    dataset=str(tmp_path / 'small.npz'),
    num_epochs=2,
    batch_size=10,
    nll_num_samples=2,
    monitor_gradients=True,
  )
  model, optimizer = TwoGaussians(), optax.sgd(1e-3, momentum=0.5)
  folder = tmp_path / 'run'
  metrics = train(config, folder=folder, model=model, optimizer=optimizer)
  assert metrics['latent_units'] == 3
  printed = capsys.readouterr().out
  assert 'the model TwoGaussians' in printed
  record = json.loads((folder / 'config.json').read_text())
  assert record['model'] == {
    'likelihood': 'bernoulli',
    'custom': 'TwoGaussians',
  }
  page = (folder / 'report.html').read_text()
  assert 'TwoGaussians' in page
  assert 'hidden_sizes' not in page
  assert 'given from Python' in page
  assert (folder / 'figures' / 'reconstructions.png').is_file()
  assert (folder / 'figures' / 'gradients_all.png').is_file()
  measured = [x for x in lines(folder) if x['split'] == 'gradients']
  assert [x['epoch'] for x in measured] == [1, 2]
  assert measured[0]['dreg_k2_all_signal_to_noise'] > 0

  options = EvaluateConfig(workdir=str(folder), num_samples=2)
  assert evaluate(options, model=model) == metrics
  for use in (evaluate, lambda _: load_run(folder)):
    with pytest.raises(UserError, match='got no model=, expected model=TwoG'):
      use(options)
  run = load_run(folder, model=model)
  assert run.sample(jax.random.key(0), 5).shape == (5, 4, 4, 1)
  with pytest.raises(UserError, match='expected model=TwoGaussians'):
    train(config, folder=folder, optimizer=optimizer)
  with pytest.raises(UserError, match='expected optimizer= from Python'):
    train(config, folder=folder, model=model)


@pytest.mark.long
@pytest.mark.slow
def test_learned_sigma_is_near_the_optimal_one_on_frey_faces(
  real_data, tmp_path, undrawn, capsys
):
  bits = {}
  for likelihood in ('normal', 'normal_optimal'):
    config = Config(
      dataset=str(real_data / 'npz' / 'frey_faces.npz'),
      likelihood=likelihood,
      num_epochs=15,
      nll_num_samples=10,
    )
    metrics = train(config, folder=tmp_path / likelihood)
    bits[likelihood] = metrics['bits_per_dimension']
  # Sigma that starts at 1 has 8.6 bits here.
  assert bits['normal'] < bits['normal_optimal'] + 0.15
  assert bits['normal_optimal'] < 6.2
  printed = capsys.readouterr().out
  assert printed.count('decoder/log_scale is still moving') == 1


@pytest.mark.slow
@pytest.mark.parametrize(
  ('likelihood', 'lowest', 'highest'),
  [
    # Digits have 17 grey levels, and log2 17 = 4.1.
    ('discretised_logistic', 3.0, 7.5),
    ('categorical', 2.0, 7.5),
    ('continuous_bernoulli', 4.0, 7.5),
    # One sigma for pixels that are always off and those that vary.
    ('normal_optimal', 4.0, 8.5),
  ],
)
def test_training_lowers_the_bits_per_dimension(
  likelihood, lowest, highest, trained, tmp_path, undrawn
):
  config = trained.config.replace(
    likelihood=likelihood, learning_rate=0.01, num_epochs=12, batch_size=200
  )
  metrics = train(config, folder=tmp_path)
  # Pixels of equal levels cost 8 bits.
  assert lowest < metrics['bits_per_dimension'] < highest
  elbo = [x['elbo'] for x in lines(tmp_path) if x['split'] == 'validation']
  assert elbo[-1] > elbo[0]


@pytest.mark.slow
def test_training_exceeds_the_bound_of_independent_pixels(
  trained, tmp_path, undrawn
):
  config = trained.config.replace(
    num_epochs=60, batch_size=50, hidden_sizes=(64,), latent_dim=8
  )
  train(config, folder=tmp_path)
  train_split, validation = data.load_train('digits', num_validation=1000)
  mean = np.clip(train_split.x.mean(axis=0) / 255, 0.001, 0.999)
  held_out = validation.x.mean(axis=0) / 255
  # The likelihood of the best model without latents.
  independent = np.sum(
    held_out * np.log(mean) + (1 - held_out) * np.log1p(-mean)
  )
  elbo = [x['elbo'] for x in lines(tmp_path) if x['split'] == 'validation']
  assert elbo[-1] > independent + 2
  assert elbo[-1] > elbo[0]
