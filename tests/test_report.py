import json

import jax
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from vae_jax import checkpoint, data, evaluation, loop, report
from vae_jax.config import EvaluateConfig


def test_numbers_fit_together():
  config = vj.Config(latent_dim=2, hidden_sizes=(8,))
  test, binary = report.load_test(config)
  assert set(np.unique(binary)) == {0, 1}
  assert binary.shape == test.images.shape
  vae = vj.make_vae(config, (8, 8, 1))
  params = vae.init(jax.random.key(0))
  metrics = report.measure(vae, params, binary, 5)
  np.testing.assert_allclose(
    metrics['elbo'], metrics['log_likelihood'] - metrics['kl'], rtol=1e-4
  )
  # -NLL at K > 1 is the tighter bound.
  assert -metrics['nll'] > metrics['elbo']
  curve = report.nll_curve(metrics)
  assert list(curve) == [1, 5]
  assert curve[1] == (metrics['nll_k1'], metrics['nll_k1_standard_error'])
  assert curve[5] == (metrics['nll'], metrics['nll_standard_error'])
  assert curve[1][0] > curve[5][0]
  table = report.rows(metrics | {'active_units': 1, 'latent_units': 2})
  assert [name for name, _ in table] == [
    *('ELBO', '= log likelihood', '- KL', 'NLL, K = 1', 'NLL, K = 5'),
    'active units',
  ]
  assert table[-1][1].split() == ['1', 'of', '2']


LINEAR = vj.Config(
  dataset='linear_gaussian',
  likelihood='normal',
  hidden_sizes=(),
  latent_dim=4,
  num_epochs=200,
  learning_rate=3e-2,
  schedule='cosine',
  nll_num_samples=1,
)


@pytest.fixture(scope='module')
def linear_run(tmp_path_factory):
  """A linear-Gaussian run of a few seconds, and its test metrics."""
  folder = tmp_path_factory.mktemp('linear')
  return folder, loop.train(LINEAR, str(folder))


def test_training_reaches_the_highest_likelihood_there_is(linear_run):
  _, metrics = linear_run
  train, _ = data.load_train('linear_gaussian', num_validation=1000)
  best = vj.maximum_likelihood(train.images, 4)
  highest = np.mean(jax.vmap(best.log_marginal)(train.images))
  np.testing.assert_allclose(
    metrics['max_train_log_marginal'], highest, rtol=1e-5
  )
  # Five seeds fell short by 0.0001 nats.
  assert 0 <= highest - metrics['train_log_marginal'] + 1e-5 < 0.01


def test_gap_below_the_exact_likelihood_is_the_exact_divergence(linear_run):
  _, m = linear_run
  exact_gap = m['log_marginal'] - m['exact_elbo']
  np.testing.assert_allclose(exact_gap, m['posterior_kl'], atol=1e-5)
  # Mean-field q is the posterior where the columns of W are orthogonal.
  assert 0 < m['posterior_kl'] < 0.01
  # False alarm: 2e-9.
  assert abs(m['gap'] - m['posterior_kl']) < 6 * m['gap_standard_error']
  np.testing.assert_allclose(m['gap'], m['log_marginal'] - m['elbo'], atol=1e-4)


def test_exact_numbers_are_those_of_the_models_own_gaussian(linear_run):
  folder, metrics = linear_run
  vae = vj.make_vae(LINEAR, (10,))
  _, params = checkpoint.restore_latest(
    folder / 'checkpoints',
    jax.eval_shape(vae.init, jax.random.key(0)),
    within='train/params',
  )
  decoder = jax.tree.map(np.float64, params['decoder'])
  w, noise = decoder['output']['kernel'], np.exp(2 * decoder['log_scale'])
  p = stats.multivariate_normal(
    decoder['output']['bias'], w.T @ w + noise * np.eye(10)
  )
  train, _ = data.load_train('linear_gaussian', num_validation=1000)
  for name, x in {
    'log_marginal': data.load_test('linear_gaussian').images,
    'train_log_marginal': train.images,
  }.items():
    exact = p.logpdf(x)
    np.testing.assert_allclose(metrics[name], exact.mean(), rtol=1e-5)
    if name == 'log_marginal':
      error = exact.std(ddof=1) / np.sqrt(1000)
      np.testing.assert_allclose(
        metrics['log_marginal_standard_error'], error, rtol=1e-4
      )


def test_evaluation_prints_and_logs_the_same_exact_numbers(linear_run, capsys):
  folder, metrics = linear_run
  options = EvaluateConfig(workdir=str(folder), num_samples=2)
  evaluation.evaluate_run(options)
  table = dict(report.rows(metrics | {'nll_num_samples': 2}))
  printed = capsys.readouterr().out
  exact = list(table)[list(table).index('active units') + 1 :]
  assert exact == [
    'log p(x)',
    'log p(x) - ELBO',
    'log p(x) - exact ELBO',
    'KL(q(z|x) || p(z|x))',
    'log p(x) in training',
    'its maximum',
  ]
  assert float(table['log p(x) - exact ELBO'].split()[0]) > 0
  for name in exact:
    assert f'{name:<21}  {table[name]}' in printed
  lines = (folder / 'metrics.jsonl').read_text().splitlines()
  first, last = map(json.loads, lines[-2:])
  assert (first['split'], last['split']) == ('test', 'test')
  for name in metrics:
    if not name.startswith('nll'):
      assert first[name] == last[name] == metrics[name]


def test_pictures_have_their_exact_numbers_too():
  config = vj.Config(likelihood='normal', hidden_sizes=(), latent_dim=61)
  vae = vj.make_vae(config, (8, 8, 1))
  params = vae.init(jax.random.key(0))
  _, pixels = report.load_test(config)
  assert pixels.dtype == np.float32
  metrics = report.measure_exact(config, vae, params, pixels)
  exact_gap = metrics['log_marginal'] - metrics['exact_elbo']
  np.testing.assert_allclose(exact_gap, metrics['posterior_kl'], rtol=1e-5)
  w = np.float64(params['decoder']['output']['kernel'])
  p = stats.multivariate_normal(np.zeros(64), w.T @ w + np.eye(64))
  exact = np.mean(p.logpdf(pixels.reshape(-1, 64)))
  np.testing.assert_allclose(metrics['log_marginal'], exact, rtol=1e-5)
  # Dequantised, the 3 pixels that are never on vary too.
  highest = metrics['max_train_log_marginal']
  assert metrics['train_log_marginal'] < highest < np.inf


def test_vectors_without_noise_have_no_highest_likelihood(monkeypatch):
  x = np.zeros((50, 6), np.float32)
  x[:, 0] = np.arange(50)
  split = data.Split(x, None)
  monkeypatch.setattr(data, 'load_train', lambda *args, **kw: (split, split))
  config = vj.Config(likelihood='normal', hidden_sizes=(), latent_dim=2)
  vae = vj.make_vae(config, (6,))
  params = vae.init(jax.random.key(0))
  metrics = report.measure_exact(config, vae, params, x)
  assert metrics['max_train_log_marginal'] == np.inf


@pytest.mark.parametrize(
  ('likelihood', 'offset'),
  [
    *(('categorical', 0.0), ('discretised_logistic', 0.0)),
    *(('continuous_bernoulli', 8.0), ('normal', 8.0), ('normal_fixed', 8.0)),
    ('normal_optimal', 8.0),
  ],
)
def test_bits_are_reported_of_8_bit_pixels(likelihood, offset):
  config = vj.Config(likelihood=likelihood)
  nll = {'nll': 64 * np.log(2), 'nll_standard_error': 6.4 * np.log(2)}
  images = np.zeros((3, 8, 8, 1), np.uint8)
  bits = report.measure_bits(config, images, nll)
  np.testing.assert_allclose(bits['bits_per_dimension'], 1 + offset)
  np.testing.assert_allclose(bits['bits_per_dimension_standard_error'], 0.1)
  numbers = dict.fromkeys(('elbo', 'elbo_standard_error', 'kl'), 0.0)
  numbers |= {'log_likelihood': 0.0, 'nll_num_samples': 5} | nll | bits
  row = f'{1 + offset:10.3f} +- 0.100 bits'
  assert report.rows(numbers)[4] == ('bits per dimension', row)


@pytest.mark.parametrize(
  ('likelihood', 'dtype'), [('bernoulli', np.uint8), ('normal', np.float32)]
)
def test_zeros_and_ones_and_real_numbers_have_no_bits(likelihood, dtype):
  config = vj.Config(likelihood=likelihood)
  nll = {'nll': 1.0, 'nll_standard_error': 0.1}
  assert report.measure_bits(config, np.zeros((3, 4), dtype), nll) == {}


@pytest.mark.parametrize(
  'change', [{'hidden_sizes': (8,)}, {'likelihood': 'bernoulli'}]
)
def test_other_models_have_no_exact_numbers(change):
  config = vj.Config(**(vars(LINEAR) | {'dataset': 'digits'} | change))
  vae = vj.make_vae(config, (8, 8, 1))
  params = vae.init(jax.random.key(0))
  _, x = report.load_test(config)
  assert report.measure_exact(config, vae, params, x) == {}


def test_test_images_are_binarised_the_same_way_every_time():
  config = vj.Config()
  first, again = report.load_test(config)[1], report.load_test(config)[1]
  np.testing.assert_array_equal(first, again)
