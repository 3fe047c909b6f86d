"""Closed-form metrics of linear-Gaussian models and of a trained run."""

import json

import jax
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from vae_jax import data
from vae_jax.data import memory
from vae_jax.evaluate.statistics import Estimate
from vae_jax.runs import Config, load_run, splits, train
from vae_jax.runs.report import build, exact
from vae_jax.runs.report.table import _exact_rows, rows

# Its fixture trains or draws for seconds.
pytestmark = pytest.mark.slow

LINEAR = Config(
  dataset='linear_gaussian',
  likelihood='normal',
  hidden_sizes=(),
  latent_dim=4,
  num_epochs=200,
  learning_rate=3e-2,
  schedule='cosine',
  nll_num_samples=1,
)
KEYS = [
  *('log_marginal', 'log_marginal_standard_error', 'exact_elbo'),
  *('posterior_kl', 'gap', 'gap_standard_error', 'train_log_marginal'),
  'max_train_log_marginal',
]


@pytest.fixture(scope='module')
def linear_run(tmp_path_factory):
  """A linear-Gaussian run of a few seconds, and its test metrics."""
  folder = tmp_path_factory.mktemp('linear')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(build, 'present', lambda *args: [])
    return folder, train(LINEAR, folder=folder)


def test_metrics_of_a_linear_gaussian_run_have_exactly_these_keys(linear_run):
  folder, metrics = linear_run
  last = json.loads((folder / 'metrics.jsonl').read_text().splitlines()[-1])
  expected = [
    *('elbo', 'elbo_standard_error', 'log_likelihood', 'kl'),
    *('nll', 'nll_standard_error', 'nll_num_samples'),
    *KEYS,
    *('active_units', 'latent_units'),
  ]
  assert list(metrics) == expected
  assert last == {'step': 22000 - 22000 % 200, **last} | metrics
  assert [*last] == ['step', 'epoch', 'split', *expected]


def test_training_reaches_the_maximum_likelihood(linear_run):
  _, metrics = linear_run
  train_split, _ = data.load_train('linear_gaussian', num_validation=1000)
  best = vj.maximum_likelihood(train_split.x, 4)
  highest = np.mean(jax.vmap(best.log_marginal)(train_split.x))
  np.testing.assert_allclose(
    metrics['max_train_log_marginal'], highest, rtol=1e-5
  )
  # Five seeds fell short by 0.0001 nats.
  assert 0 <= highest - metrics['train_log_marginal'] + 1e-5 < 0.01


def test_gap_to_the_exact_likelihood_is_the_exact_divergence(linear_run):
  _, m = linear_run
  exact_gap = m['log_marginal'] - m['exact_elbo']
  np.testing.assert_allclose(exact_gap, m['posterior_kl'], atol=1e-5)
  # Mean-field q is the posterior where the columns of W are orthogonal.
  assert 0 < m['posterior_kl'] < 0.01
  # False alarm: 2e-9.
  assert abs(m['gap'] - m['posterior_kl']) < 6 * m['gap_standard_error']
  np.testing.assert_allclose(m['gap'], m['log_marginal'] - m['elbo'], atol=1e-4)


def test_exact_metrics_are_those_of_the_gaussian_of_the_decoder(linear_run):
  folder, metrics = linear_run
  decoder = jax.tree.map(np.float64, load_run(folder).params['decoder'])
  w, noise = decoder['output']['kernel'], np.exp(2 * decoder['log_scale'])
  p = stats.multivariate_normal(
    decoder['output']['bias'], w.T @ w + noise * np.eye(10)
  )
  train_split, _ = data.load_train('linear_gaussian', num_validation=1000)
  for name, x in {
    'log_marginal': data.load_test('linear_gaussian').x,
    'train_log_marginal': train_split.x,
  }.items():
    log_p = p.logpdf(x)
    np.testing.assert_allclose(metrics[name], log_p.mean(), rtol=1e-5)
    if name == 'log_marginal':
      error = log_p.std(ddof=1) / np.sqrt(1000)
      np.testing.assert_allclose(
        metrics['log_marginal_standard_error'], error, rtol=1e-4
      )


def test_table_has_the_exact_rows_after_the_others():
  numbers = {
    'elbo': Estimate(-9.0, 0.5),
    **{'log_likelihood': -6.0, 'kl': 3.0, 'nll_num_samples': 5},
    'nll': Estimate(8.0, 0.125),
    'log_marginal': Estimate(-7.0, 0.25),
    **{'exact_elbo': -9.5, 'posterior_kl': 2.5},
    'gap': Estimate(2.0, 0.5),
    **{'train_log_marginal': -6.5, 'max_train_log_marginal': -6.25},
  }
  assert rows(numbers)[4:] == [
    ('log p(x)', '    -7.000 +- 0.250 nats'),
    ('log p(x) - ELBO', '     2.00000 +- 0.50000 nats'),
    ('log p(x) - exact ELBO', '     2.50000 nats'),
    ('KL(q(z|x) || p(z|x))', '     2.50000 nats'),
    ('log p(x) in training', '    -6.500 nats'),
    ('its maximum', '    -6.250 nats'),
  ]


def test_images_have_exact_metrics_too():
  config = Config(likelihood='normal', hidden_sizes=(), latent_dim=61)
  vae = vj.make_vae(config.model, (8, 8, 1))
  params = vae.init(jax.random.key(0))
  _, pixels = splits.load_split(config, 'test')
  assert pixels.dtype == np.float32
  metrics = exact.measure_exact(
    config, vae, params, pixels, np.zeros(len(pixels))
  )
  mean = metrics['log_marginal'].mean
  np.testing.assert_allclose(
    mean - metrics['exact_elbo'], metrics['posterior_kl'], rtol=1e-5
  )
  w = np.float64(params['decoder']['output']['kernel'])
  p = stats.multivariate_normal(np.zeros(64), w.T @ w + np.eye(64))
  expected = np.mean(p.logpdf(pixels.reshape(-1, 64)))
  np.testing.assert_allclose(mean, expected, rtol=1e-5)
  # Dequantised, the 3 pixels that are always off vary too.
  highest = metrics['max_train_log_marginal']
  assert metrics['train_log_marginal'] < highest < np.inf


def test_data_without_noise_have_no_maximum_likelihood(monkeypatch):
  x = np.zeros((50, 6), np.float32)
  x[:, 0] = np.arange(50)
  split = data.Split(x, None)
  monkeypatch.setattr(data, 'load_train', lambda *args, **kw: (split, split))
  config = Config(likelihood='normal', hidden_sizes=(), latent_dim=2)
  vae = vj.make_vae(config.model, (6,))
  params = vae.init(jax.random.key(0))
  metrics = exact.measure_exact(config, vae, params, x, np.zeros(50))
  assert metrics['max_train_log_marginal'] == np.inf


def test_training_split_larger_than_memory_is_left_out(monkeypatch):
  monkeypatch.setattr(memory, 'physical_memory', lambda: 1000)
  config = Config(likelihood='normal', hidden_sizes=(), latent_dim=2)
  vae = vj.make_vae(config.model, (8, 8, 1))
  params = vae.init(jax.random.key(0))
  x = np.ones((3, 8, 8, 1), np.float32)
  metrics = exact.measure_exact(config, vae, params, x, np.zeros(3))
  assert 'log_marginal' in metrics
  assert not any('train' in name for name in metrics)
  assert 'its maximum' not in dict(_exact_rows(metrics))


@pytest.mark.parametrize(
  'change',
  [
    {'hidden_sizes': (8,)},
    {'likelihood': 'normal_fixed'},
    {'posterior': 'full_normal'},
    {'prior': 'laplace'},
  ],
)
def test_other_models_have_no_exact_metrics(change):
  options = LINEAR.replace(**change)
  assert exact.measure_exact(options, None, None, None, None) == {}
  with pytest.raises(ValueError, match='the VAE is not linear-Gaussian'):
    exact.linear_gaussian_of(options.model, {})
  assert exact.is_linear_gaussian(LINEAR.model)
