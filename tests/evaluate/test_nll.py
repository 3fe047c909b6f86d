import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests import helpers
from vae_jax import evaluate
from vae_jax.models import as_float

VAE = helpers.linear_gaussian(helpers.LOADINGS, helpers.BIAS, helpers.NOISE)
EXACT_Q = {'offset': jnp.zeros(2)}
WRONG_Q = {'offset': jnp.array([0.5, -0.4])}
EVIDENCE = stats.multivariate_normal(
  helpers.BIAS, helpers.evidence_covariance()
)
DATA = EVIDENCE.rvs(size=150, random_state=0).astype(np.float32)


@functools.cache
def curve():
  """NLL at K = 1, 10, 1000 with a wrong q, shared by several tests."""
  with jax.debug_key_reuse(False):
    return evaluate.estimate_nll_curve(
      jax.random.key(3), VAE, WRONG_Q, DATA, num_samples=(1, 10, 1000)
    )


def test_nll_is_exact_if_q_is_the_posterior(key):
  """Also where all weights underflow: the last three examples are far."""
  data = np.concatenate([DATA[:60], DATA[:3] + 1000])
  found = evaluate.estimate_nll_curve(
    key, VAE, EXACT_Q, data, num_samples=(1, 7)
  )
  exact = -EVIDENCE.logpdf(data)
  for nll in found.at.values():
    np.testing.assert_allclose(nll.per_example[:60], exact[:60], rtol=1e-4)
    np.testing.assert_allclose(nll.per_example[60:], exact[60:], rtol=1e-3)
    error = nll.per_example.std(ddof=1, dtype=np.float64) / np.sqrt(63)
    np.testing.assert_allclose(nll.mean, nll.per_example.mean(), rtol=1e-5)
    np.testing.assert_allclose(nll.standard_error, error, rtol=1e-5)
  np.testing.assert_allclose(found.effective_sample_size[:60], 7, rtol=1e-3)


def test_nll_decreases_with_k_to_the_exact_value():
  exact = -EVIDENCE.logpdf(DATA)
  gaps = [nll.per_example - exact for nll in curve().at.values()]
  errors = [gap.std(ddof=1) / np.sqrt(len(gap)) for gap in gaps]
  posterior = VAE.encode(EXACT_Q, DATA[0])
  first = float(vj.kl(VAE.encode(WRONG_Q, DATA[0]), posterior))
  # K = 1 is the ELBO: its gap is KL(q || posterior).
  assert abs(gaps[0].mean() - first) < 6 * errors[0]
  assert gaps[0].mean() > gaps[1].mean() + 6 * errors[1] > gaps[2].mean()
  assert abs(gaps[2].mean()) < 6 * errors[2] + 0.01


def test_effective_sample_size_is_the_expected_fraction_of_k():
  # In the limit exp(-offset' precision offset) with the posterior precisions.
  precision = np.exp(-2 * np.asarray(VAE.encode(EXACT_Q, DATA[0]).log_scale))
  expected = np.exp(-precision @ np.array([0.5, -0.4]) ** 2)
  found = np.mean(curve().effective_sample_size) / 1000
  assert 0.5 * expected < found < 1.5 * expected + 0.1


@pytest.mark.parametrize('floats', [1, 64 * 4 * 3])
def test_estimate_depends_neither_on_chunks_nor_on_other_k(floats, monkeypatch):
  """K = 10 is not a multiple of a chunk of 3 samples: padding has weight 0."""
  seen = []
  watch = lambda chunks: (seen.append(i) or i for i in chunks)
  monkeypatch.setattr(evaluate.chunks, 'CHUNK_FLOATS', floats)
  with jax.debug_key_reuse(False):
    parts = vj.estimate_nll(
      jax.random.key(3), VAE, WRONG_Q, DATA, num_samples=10, progress=watch
    )
  assert seen == [0, 64, 128]
  whole = curve().at[10]
  assert parts.per_example.shape == (150,)
  close = functools.partial(np.testing.assert_allclose, rtol=1e-4)
  jax.tree.map(close, parts, whole)


def test_one_program_serves_every_k():
  """The decoder is traced as often for four K as for one, and then no more."""
  calls = []

  def decode(params, z):
    calls.append(0)
    return VAE.decode(params, z)

  counts = []
  for points in ((10,), (1, 3, 7, 10)):
    calls.clear()
    estimate = evaluate.make_nll_curve(VAE._replace(decode=decode))
    with jax.debug_key_reuse(False):
      for params in (EXACT_Q, WRONG_Q):
        estimate(jax.random.key(3), params, DATA[:5], num_samples=points)
        counts.append(len(calls))
  first, again, many, many_again = counts
  assert first == many
  # The size of an example is described in each call, without a program.
  assert again - first == many_again - many < first


def test_estimate_uses_exactly_k_samples():
  """Against a loop over the same ten samples."""
  example_key = jax.random.fold_in(jax.random.key(3), 0)

  @jax.jit
  def log_weight(k):
    q = VAE.encode(WRONG_Q, DATA[0])
    z = vj.reparameterise(jax.random.fold_in(example_key, k), q)
    log_p = VAE.decode(None, z).log_prob(DATA[0]) + VAE.prior(None).log_prob(z)
    return log_p - q.log_prob(z)

  log_w = np.array([float(log_weight(k)) for k in range(10)])
  exact = -np.log(np.mean(np.exp(log_w)))
  np.testing.assert_allclose(curve().at[10].per_example[0], exact, rtol=1e-5)


def bernoulli_vae():
  """A discrete z whose posterior is exact; refuses an integer x."""

  def likelihood(params, z):
    return vj.Bernoulli(params * (2 * z - 1))

  def encode(params, x):
    assert x.dtype == jnp.float32
    log_p = [likelihood(params, jnp.full(1, z)).log_prob(x) for z in (0.0, 1.0)]
    return vj.Bernoulli((0.4 + log_p[1] - log_p[0])[None])

  prior = lambda params: vj.Bernoulli(jnp.array([0.4]))
  return vj.VAE(lambda key: {}, encode, likelihood, prior)


@pytest.mark.slow
def test_integer_data_and_discrete_latents(key):
  """Every weight is p(x) = sum_z p(z) p(x|z), and the ELBO is log p(x)."""
  params = jnp.array([0.5, -1.0, 2.0])
  x = np.array([[0, 1, 1], [1, 0, 1]], np.uint8)
  sigmoid = lambda logits: 1 / (1 + np.exp(-logits))
  p_x = np.zeros(2)
  for z, p_z in ((0, sigmoid(-0.4)), (1, sigmoid(0.4))):
    p_one = sigmoid(np.asarray(params) * (2 * z - 1))
    p_x += p_z * np.prod(np.where(x == 1, p_one, 1 - p_one), axis=1)
  nll = vj.estimate_nll(key, bernoulli_vae(), params, x, num_samples=3)
  np.testing.assert_allclose(nll.per_example, -np.log(p_x), rtol=1e-5)
  terms = evaluate.make_evaluate_elbo(bernoulli_vae())(
    jax.random.fold_in(key, 1), params, jnp.asarray(x)
  )
  assert terms.elbo.shape == (2,)


def test_only_the_observed_part_is_cast_to_float():
  x, y = np.array([3], np.uint8), np.array(2, np.int32)
  assert as_float(x).dtype == np.float32
  found = as_float({'x': x, 'y': y})
  assert found['x'].dtype == np.float32
  assert found['y'].dtype == np.int32
  half = np.array([0.5], np.float16)
  assert as_float(half).dtype == np.float16


@pytest.mark.parametrize(
  ('data', 'num_samples', 'message'),
  [
    (DATA, (0,), 'num_samples is 0'),
    (DATA[:0], (1,), 'no example'),
    ({'x': DATA, 'y': DATA[:3]}, (1,), 'same number of examples'),
    (DATA, (), 'must be rising'),
    (DATA, (10, 1), 'must be rising'),
    (DATA, (5, 5), 'must be rising'),
  ],
)
def test_invalid_arguments_raise(data, num_samples, message, key):
  with pytest.raises(ValueError, match=message):
    evaluate.estimate_nll_curve(
      key, VAE, EXACT_Q, data, num_samples=num_samples
    )


def test_prior_and_posterior_of_different_shape_raise(key):
  vae = VAE._replace(prior=lambda params: vj.Normal(jnp.zeros(3), 0.0))
  with pytest.raises(ValueError, match=r'shape \(2,\) and prior Normal'):
    vj.estimate_nll(key, vae, EXACT_Q, DATA, num_samples=1)


def test_elbo_of_a_data_set_is_that_of_each_example(key, monkeypatch):
  monkeypatch.setattr(evaluate.chunks, 'CHUNK_FLOATS', 4 * 40)
  data = jnp.asarray(DATA)
  terms = evaluate.make_evaluate_elbo(VAE)(key, WRONG_Q, data)
  assert terms.elbo.shape == (150,)
  q, prior = VAE.encode(WRONG_Q, data[140]), VAE.prior(None)
  np.testing.assert_allclose(terms.kl[140], vj.kl(q, prior), rtol=1e-5)
  np.testing.assert_allclose(
    terms.elbo, terms.log_likelihood - terms.kl, rtol=1e-4, atol=1e-4
  )
  posterior = VAE.encode(EXACT_Q, data[0])
  gap = float(vj.kl(VAE.encode(WRONG_Q, data[0]), posterior))
  helpers.assert_mean(EVIDENCE.logpdf(DATA) - terms.elbo, gap)


@pytest.mark.slow
def test_vmap_over_params_equals_a_loop():
  """70 examples: the last chunk of 64 is not full."""
  offsets = jnp.array([[0.5, -0.4], [0.0, 0.2]])
  estimate = functools.partial(
    vj.estimate_nll, jax.random.key(3), VAE, num_samples=10
  )
  with jax.debug_key_reuse(False):
    one = lambda offset: estimate({'offset': offset}, DATA[:70])
    found = jax.jit(jax.vmap(one))(offsets)
  assert found.per_example.shape == (2, 70)
  first = curve().at[10].per_example[:70]
  np.testing.assert_allclose(found.per_example[0], first, rtol=1e-5)
  assert np.max(np.abs(found.per_example[1] - first)) > 0.1
  for i in range(2):
    np.testing.assert_allclose(
      [found.mean[i], found.standard_error[i]],
      evaluate.estimate_mean(found.per_example[i]),
      rtol=1e-5,
    )


@pytest.mark.slow
def test_float64_is_kept():
  """Against NumPy in float64, for the same samples."""
  # New arrays: JAX may reuse the float32 constants made from the old ones.
  vae = helpers.linear_gaussian(
    helpers.LOADINGS.copy(), helpers.BIAS.copy(), helpers.NOISE
  )
  with jax.enable_x64(True):
    data = DATA[:3].astype(np.float64)
    params = {'offset': jnp.array([0.5, -0.4], jnp.float64)}
    key = jax.random.key(3)
    with jax.debug_key_reuse(False):
      nll = vj.estimate_nll(key, vae, params, data, num_samples=10)
      z = np.stack(
        [
          [
            vae.encode(params, x).sample(
              jax.random.fold_in(jax.random.fold_in(key, n), k)
            )
            for k in range(10)
          ]
          for n, x in enumerate(data)
        ]
      )
  assert z.dtype == np.float64
  assert nll.per_example.dtype == np.float64
  precision = 1 + np.sum(helpers.LOADINGS**2, axis=0) / helpers.NOISE**2
  mean = (data - helpers.BIAS) @ helpers.LOADINGS / helpers.NOISE**2
  mean = mean / precision + [0.5, -0.4]
  normal = lambda x, loc, scale: stats.norm.logpdf(x, loc, scale).sum(axis=-1)
  log_w = normal(data[:, None], z @ helpers.LOADINGS.T + helpers.BIAS, 0.7)
  log_w += normal(z, 0, 1) - normal(z, mean[:, None], precision**-0.5)
  exact = -np.log(np.mean(np.exp(log_w), axis=1))
  np.testing.assert_allclose(nll.per_example, exact, rtol=1e-10)


def test_curve_points_end_at_k():
  assert evaluate.curve_points(5000) == (1, 10, 100, 1000, 5000)
  assert evaluate.curve_points(100) == (1, 10, 100)
  assert evaluate.curve_points(1) == (1,)
