"""Counts as data: npz files, grey levels, and a set of known log p(x)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax import data
from vae_jax.data import local, simulated_counts
from vae_jax.errors import UserError

COUNTS = np.random.RandomState(0).poisson(2.0, (40, 5))


@pytest.mark.parametrize('dtype', [np.uint8, np.int16, np.uint16, np.int64])
def test_npz_of_counts_of_any_integer_dtype_is_split(tmp_path, dtype):
  path = tmp_path / 'cells.npz'
  np.savez(path, counts=COUNTS.astype(dtype), labels=np.arange(40))
  splits = local.read_npz(path)
  train, test = splits['train'], splits['test']
  assert train.x.dtype == np.int32
  assert (train.x.shape, test.x.shape) == ((34, 5), (6, 5))
  np.testing.assert_array_equal(test.x, COUNTS[test.labels])


def test_npz_of_counts_with_its_own_split_keeps_it(tmp_path):
  path = tmp_path / 'cells.npz'
  np.savez(path, train_counts=COUNTS[:30], test_counts=COUNTS[30:])
  np.testing.assert_array_equal(local.read_npz(path)['test'].x, COUNTS[30:])


@pytest.mark.parametrize(
  ('arrays', 'message'),
  [
    ({'counts': COUNTS - 5}, 'counts: got -5, expected counts from 0 to'),
    ({'counts': COUNTS + 2**24}, 'counts: got 16777.*expected counts from 0'),
    ({'counts': COUNTS / 1}, 'counts: got dtype float64, expected whole'),
    ({'counts': COUNTS + 0.5}, r'counts: got \d+\.5, expected whole numbers'),
    ({'counts': COUNTS * np.nan}, 'counts: got nan, expected whole numbers'),
    ({'counts': COUNTS[:, 0]}, r'got shape \(40,\), expected \[N, D\]'),
    ({'counts': COUNTS[:0]}, r'got shape \(0, 5\), expected .* N > 0'),
    ({'counts': COUNTS, 'images': COUNTS}, 'got images and counts, expected'),
    (
      {'train_counts': COUNTS, 'test_counts': COUNTS[:, :3]},
      r'test_counts: got the size \(3,\) of an example, expected \(5,\)',
    ),
    ({'counts': COUNTS, 'labels': COUNTS}, 'labels have shape'),
  ],
)
def test_other_arrays_are_refused_in_one_line(tmp_path, arrays, message):
  path = tmp_path / 'cells.npz'
  np.savez(path, **arrays)
  with pytest.raises(UserError, match=message) as error:
    local.read_npz(path)
  assert '\n' not in str(error.value)


def test_digests_of_counts_see_every_number():
  digest = lambda x: data.digest(data.Split(x, None))
  x = COUNTS.astype(np.int32)
  other = x.copy()
  other[3, 2] += 1
  assert digest(x) == digest(x.copy()) != digest(other)


def test_digits_as_counts_are_their_grey_levels():
  counts, images = local.read_digits_counts(), local.read_digits()
  for name, split in counts.items():
    assert split.x.shape == images[name].x.shape
    assert (split.x.min(), split.x.max()) == (0, 16)
    np.testing.assert_array_equal(
      np.round(split.x * (255 / 16)), images[name].x
    )
    np.testing.assert_array_equal(split.labels, images[name].labels)


def test_quadrature_of_simulated_counts_has_converged():
  x = simulated_counts.read_simulated_counts()['test'].x
  log_rates = simulated_counts.true_log_rates()
  few, many = (
    simulated_counts.log_marginal(x, *log_rates, num_nodes=n) for n in (64, 150)
  )
  np.testing.assert_allclose(few, many, atol=1e-5)


def test_quadrature_sums_to_one():
  x = np.stack(np.meshgrid(*[np.arange(60)] * 2), axis=-1).reshape(-1, 2)
  log_p = simulated_counts.log_marginal(x, np.zeros(2), np.array([0.5, -0.7]))
  np.testing.assert_allclose(np.exp(log_p).sum(), 1, atol=1e-4)


def true_model():
  """Returns the generating model as a VAE, with q(z|x) by regression."""
  a, b = simulated_counts.true_log_rates()
  vae = vj.make_vae(
    data_shape=(8,), latent_dim=1, hidden_sizes=(), likelihood='poisson'
  )
  random = np.random.RandomState(1)
  z = random.normal(size=(20_000, 1))
  seen = np.log1p(random.poisson(np.exp(a + b * z)))
  inputs = np.column_stack([seen, np.ones(len(z))])
  weights, _, _, _ = np.linalg.lstsq(inputs, z, rcond=None)
  # Wider than the posterior, so that the weights have a small variance.
  scale = 1.3 * np.std(z - inputs @ weights)
  params = jax.tree.map(
    lambda x: np.zeros(x.shape, x.dtype),
    jax.eval_shape(vae.init, jax.random.key(0)),
  )
  params['decoder']['output'] = {'kernel': b[None], 'bias': a}
  params['encoder']['loc'] = {'kernel': weights[:-1], 'bias': weights[-1]}
  params['encoder']['log_scale']['bias'] += np.log(scale)
  return vae, jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)


@pytest.mark.slow
def test_nll_of_the_true_model_agrees_with_quadrature(key):
  """Six standard errors: false alarms below 2e-8. The bias is below 1e-3."""
  vae, params = true_model()
  x = simulated_counts.read_simulated_counts()['test'].x[:300]
  exact = simulated_counts.log_marginal(x, *simulated_counts.true_log_rates())
  nll = vj.estimate_nll(key, vae, params, x, num_samples=1000)
  error = np.asarray(nll.per_example, np.float64) + exact
  assert np.std(error) < 0.05
  assert abs(np.mean(error)) < 6 * np.std(error) / np.sqrt(len(x)) + 1e-3


@pytest.mark.slow
def test_nll_of_a_trained_model_agrees_with_quadrature(key):
  """Its parameters differ from the true ones; log p(x) is theirs."""
  splits = simulated_counts.read_simulated_counts()
  vae, params = true_model()
  x = splits['train'].x.astype(np.float32)
  params, _ = vj.fit(key, vae, x, params=params, num_epochs=3, batch_size=100)
  x = splits['test'].x[:300]
  output = params['decoder']['output']
  exact = simulated_counts.log_marginal(x, output['bias'], output['kernel'][0])
  nll = vj.estimate_nll(jax.random.key(1), vae, params, x, num_samples=2000)
  error = np.asarray(nll.per_example, np.float64) + exact
  assert abs(np.mean(error)) < 6 * np.std(error) / np.sqrt(len(x)) + 1e-3
