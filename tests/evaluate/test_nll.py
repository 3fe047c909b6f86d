import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests import helpers
from vae_jax import evaluate

VAE = helpers.linear_gaussian(helpers.LOADINGS, helpers.BIAS, helpers.NOISE)
EXACT_Q = {'offset': jnp.zeros(2)}
WIDE_OF_IT = {'offset': jnp.array([0.5, -0.4])}
EVIDENCE = stats.multivariate_normal(
  helpers.BIAS, helpers.evidence_covariance()
)
DATA = EVIDENCE.rvs(size=150, random_state=0).astype(np.float32)


@pytest.mark.parametrize('num_samples', [1, 7])
def test_nll_is_exact_where_q_is_the_posterior(num_samples, key):
  nll = vj.estimate_nll(key, VAE, EXACT_Q, DATA, num_samples=num_samples)
  exact = -EVIDENCE.logpdf(DATA)
  np.testing.assert_allclose(nll.per_example, exact, rtol=1e-4)
  np.testing.assert_allclose(nll.mean, exact.mean(), rtol=1e-5)
  np.testing.assert_allclose(
    nll.standard_error, exact.std(ddof=1) / np.sqrt(150), rtol=1e-4
  )


def test_nll_falls_with_k_towards_the_truth(key):
  exact = -EVIDENCE.logpdf(DATA)
  gaps = []
  with jax.debug_key_reuse(False):
    for k in (1, 10, 1000):
      nll = vj.estimate_nll(key, VAE, WIDE_OF_IT, DATA, num_samples=k)
      gaps.append(nll.per_example - exact)
  errors = [gap.std(ddof=1) / np.sqrt(len(gap)) for gap in gaps]
  posterior = VAE.encode(EXACT_Q, DATA[0])
  first = float(vj.kl(VAE.encode(WIDE_OF_IT, DATA[0]), posterior))
  # K = 1 is the ELBO: its gap is KL(q || posterior).
  assert abs(gaps[0].mean() - first) < 6 * errors[0]
  assert gaps[0].mean() > gaps[1].mean() + 6 * errors[1] > gaps[2].mean()
  assert abs(gaps[2].mean()) < 6 * errors[2] + 0.01


@pytest.mark.parametrize('floats', [1, 64 * 4 * 3, 10**9])
def test_chunks_change_nothing_and_k_is_exact(floats, key, monkeypatch):
  """K = 10 is no multiple of a chunk of 3 draws: padding must weigh 0."""
  estimate = lambda: evaluate.estimate_nll_curve(
    key, VAE, WIDE_OF_IT, DATA, num_samples=(10,)
  )
  with jax.debug_key_reuse(False):
    whole = estimate()
    monkeypatch.setattr(evaluate.chunks, 'CHUNK_FLOATS', floats)
    monkeypatch.setattr(evaluate.nll, '_EXAMPLES', 64)
    parts = estimate()
  assert parts.effective_sample_size.shape == (150,)
  close = functools.partial(np.testing.assert_allclose, rtol=1e-4)
  jax.tree.map(close, parts, whole)


def test_k_draws_are_exactly_k(key):
  """By hand: the same ten draws, and no more, make the estimate."""
  with jax.debug_key_reuse(False):
    nll = vj.estimate_nll(key, VAE, WIDE_OF_IT, DATA[:1], num_samples=10)
    example_key = jax.random.fold_in(key, 0)
    q = VAE.encode(WIDE_OF_IT, DATA[0])
    log_w = []
    for k in range(10):
      z = vj.reparameterise(jax.random.fold_in(example_key, k), q)
      log_p = VAE.decode(None, z).log_prob(DATA[0]) + VAE.prior(None).log_prob(
        z
      )
      log_w.append(float(log_p - q.log_prob(z)))
  exact = -np.log(np.mean(np.exp(np.array(log_w))))
  np.testing.assert_allclose(nll.mean, exact, rtol=1e-5)
  assert np.isnan(nll.standard_error)


def test_weights_that_underflow_stay_in_log_space(key):
  far = DATA[:3] + 1000.0
  nll = vj.estimate_nll(key, VAE, EXACT_Q, far, num_samples=4)
  np.testing.assert_allclose(nll.per_example, -EVIDENCE.logpdf(far), rtol=1e-3)


def test_uint8_data_and_discrete_latents_serve(key):
  config = vj.Config(
    latent_dim=2,
    hidden_sizes=(8,),
    posterior='bernoulli',
    prior='bernoulli',
    estimator='score_function',
  )
  vae = vj.make_vae(config, (2, 2, 1))
  # Of uint8, 2 * 0 - 1 would be 255.
  encode = lambda params, x: vae.encode(params, 2 * x - 1)
  centred = vae._replace(encode=encode)
  params = vae.init(jax.random.key(0))
  x = np.array([[0, 1, 1, 0], [1, 1, 1, 1]], np.uint8).reshape(2, 2, 2, 1)
  with jax.debug_key_reuse(False):
    evaluate_elbo = evaluate.make_evaluate_elbo(centred)
    a, b = (
      (
        vj.estimate_nll(key, centred, params, x, num_samples=3).per_example,
        evaluate_elbo(key, params, x).elbo,
      )
      for x in (x, x.astype(np.float32))
    )
  np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
  ('data', 'num_samples', 'message'),
  [(DATA, 0, 'num_samples is 0'), (DATA[:0], 1, 'no example')],
)
def test_impossible_estimates_are_refused(data, num_samples, message, key):
  with pytest.raises(ValueError, match=message):
    vj.estimate_nll(key, VAE, EXACT_Q, data, num_samples=num_samples)


def test_progress_sees_every_chunk(key):
  seen = []
  watch = lambda chunks: (seen.append(i) or i for i in chunks)
  vj.estimate_nll(key, VAE, EXACT_Q, DATA, num_samples=1, progress=watch)
  assert seen == [0, 64, 128]


def test_elbo_of_a_split_is_that_of_each_example(key, monkeypatch):
  monkeypatch.setattr(evaluate.chunks, 'CHUNK_FLOATS', 4 * 40)
  data = jnp.asarray(DATA)
  terms = evaluate.make_evaluate_elbo(VAE)(key, WIDE_OF_IT, data)
  assert terms.elbo.shape == (150,)
  q, prior = VAE.encode(WIDE_OF_IT, data[140]), VAE.prior(None)
  np.testing.assert_allclose(terms.kl[140], vj.kl(q, prior), rtol=1e-5)
  np.testing.assert_allclose(
    terms.elbo, terms.log_likelihood - terms.kl, rtol=1e-4, atol=1e-4
  )
  posterior = VAE.encode(EXACT_Q, data[0])
  gap = float(vj.kl(VAE.encode(WIDE_OF_IT, data[0]), posterior))
  helpers.assert_mean(EVIDENCE.logpdf(DATA) - terms.elbo, gap)


def test_evaluation_keys_differ_and_are_the_same_in_every_run():
  first, second = evaluate.evaluation_keys(), evaluate.evaluation_keys()
  for a, b in zip(first, second, strict=True):
    np.testing.assert_array_equal(
      jax.random.key_data(a), jax.random.key_data(b)
    )
  data = jax.random.key_data(jnp.stack(first))
  assert len(np.unique(data, axis=0)) == len(first)


def test_standard_error():
  mean, error = evaluate.mean_and_standard_error(np.array([1.0, 2.0, 3.0]))
  assert mean == 2.0
  np.testing.assert_allclose(error, 1 / np.sqrt(3))


def test_a_curve_is_the_estimates_of_its_k(key):
  """From one pass, the numbers that each K alone would give."""
  with jax.debug_key_reuse(False):
    curve = evaluate.estimate_nll_curve(
      key, VAE, WIDE_OF_IT, DATA, num_samples=(1, 10, 37)
    )
    for k, found in curve.at.items():
      alone = vj.estimate_nll(key, VAE, WIDE_OF_IT, DATA, num_samples=k)
      np.testing.assert_allclose(
        found.per_example, alone.per_example, rtol=1e-5
      )
  assert list(curve.at) == [1, 10, 37]


def test_effective_sample_size_is_k_at_the_posterior_and_less_elsewhere(key):
  sizes = []
  with jax.debug_key_reuse(False):
    for params in (EXACT_Q, WIDE_OF_IT):
      curve = evaluate.estimate_nll_curve(
        key, VAE, params, DATA[:30], num_samples=(200,)
      )
      sizes.append(curve.effective_sample_size)
  np.testing.assert_allclose(sizes[0], 200, rtol=1e-2)
  # exp(-sum of offsets^2 times the posterior precisions) of it, in the limit.
  precision = np.exp(-2 * np.asarray(VAE.encode(EXACT_Q, DATA[0]).log_scale))
  expected = np.exp(-precision @ np.array([0.5, -0.4]) ** 2)
  assert 0.5 * expected < np.mean(sizes[1]) / 200 < 1.5 * expected + 0.1


@pytest.mark.parametrize('num_samples', [(), (10, 1), (5, 5)])
def test_a_curve_rises_in_k(num_samples, key):
  with pytest.raises(ValueError, match='must be rising'):
    evaluate.estimate_nll_curve(
      key, VAE, EXACT_Q, DATA, num_samples=num_samples
    )


def test_curve_points_end_in_k():
  assert evaluate.curve_points(5000) == (1, 10, 100, 1000, 5000)
  assert evaluate.curve_points(100) == (1, 10, 100)
  assert evaluate.curve_points(1) == (1,)
