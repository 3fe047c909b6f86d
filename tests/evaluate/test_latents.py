import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests import helpers, latent_models
from vae_jax import evaluate
from vae_jax.evaluate.dimensions import NUM_DRAWS, kl_terms, marginals, moments
from vae_jax.evaluate.information import _depends_on_second

# Two dimensions depend on x; the third has the prior and is not decoded.
WEIGHTS = jnp.array([[2.0, 0.0, 0.0], [0.0, 0.5, 0.0]])
SCALE = np.log(0.5)


def make(prior=lambda: vj.Normal(jnp.zeros(3), jnp.zeros(3)), family=vj.Normal):
  def encode(params, x):
    del params
    loc = jnp.array([0.8 * x[0], 0.3 * x[1], 0.0])
    return family(loc, jnp.array([SCALE, -0.2, 0.0]))

  return vj.VAE(
    init=lambda key: {},
    encode=encode,
    decode=lambda params, z: vj.Normal(WEIGHTS @ z, jnp.zeros(2)),
    prior=lambda params: prior(),
  )


DATA = np.random.RandomState(0).normal(size=(400, 2)).astype(np.float32)


@pytest.fixture(scope='module')
def measured():
  return vj.measure_latents(jax.random.key(0), make(), {}, DATA)


def test_kl_and_moments_of_each_dimension(measured):
  loc = np.stack([0.8 * DATA[:, 0], 0.3 * DATA[:, 1], 0 * DATA[:, 0]], axis=1)
  log_scale = np.array([SCALE, -0.2, 0.0])
  exact = 0.5 * (np.exp(2 * log_scale) + loc**2 - 1) - log_scale
  assert measured.sizes == {'z[0]': 1, 'z[1]': 1, 'z[2]': 1}
  np.testing.assert_allclose(measured.kl.mean, exact.mean(axis=0), atol=1e-5)
  error = exact.std(axis=0, ddof=1) / np.sqrt(400)
  np.testing.assert_allclose(measured.kl.standard_error, error, atol=1e-5)
  np.testing.assert_allclose(measured.mean_variance, loc.var(axis=0), atol=1e-5)
  np.testing.assert_allclose(measured.scale, np.exp(log_scale), rtol=1e-5)
  np.testing.assert_allclose(measured.means, loc, atol=1e-6)


def test_units_whose_mean_varies_are_active(measured):
  assert measured.active.tolist() == [True, True, False]
  assert measured.active_terms.tolist() == [True, True, False]
  grouped = measured._replace(sizes={'a': 2, 'b': 1})
  assert grouped.active_terms.tolist() == [True, False]


def test_scale_is_the_mean_standard_deviation():
  encode = lambda params, x: vj.Normal(jnp.zeros(3), x[:1] * jnp.ones(3))
  vae = make()._replace(encode=encode)
  found = vj.measure_latents(jax.random.key(0), vae, {}, DATA[:7])
  mean = np.mean(np.exp(DATA[:7, 0]))
  np.testing.assert_allclose(found.scale, np.full(3, mean), rtol=1e-5)


def test_one_example_has_no_mutual_information_and_no_errors():
  found = vj.measure_latents(jax.random.key(0), make(), {}, DATA[:1])
  assert found.mutual_information.mean == 0
  assert np.isnan(found.mutual_information.standard_error)
  assert np.all(np.isnan(found.kl.standard_error))


def test_mutual_information_and_marginal_kl_sum_to_the_kl(measured):
  information, error = measured.mutual_information
  marginal, other = measured.marginal_kl
  # Both use the same samples; their errors add at most.
  total = measured.kl.mean.sum()
  assert abs(information + marginal - total) < 6 * (error + other)
  assert 0 < information < np.log(400)


def test_mutual_information_is_that_of_the_mixture_of_posteriors():
  """Against scipy, with the same samples of two examples."""
  data = DATA[:2]
  found = vj.measure_latents(jax.random.key(3), make(), {}, data)
  pair_key = jax.random.split(jax.random.key(3))[1]
  vae = make()
  qs = [vae.encode({}, jnp.asarray(x)) for x in data]
  keys = jax.random.split(pair_key, 2)
  z = [np.asarray(vj.sample(k, q)) for k, q in zip(keys, qs, strict=True)]
  density = lambda z, q: np.prod(
    stats.norm.pdf(z, np.asarray(q.loc), np.exp(np.asarray(q.log_scale)))
  )
  mixture = [0.5 * (density(x, qs[0]) + density(x, qs[1])) for x in z]
  information = np.mean(
    [np.log(density(z[i], qs[i]) / mixture[i]) for i in range(2)]
  )
  marginal = np.mean(
    [np.log(mixture[i] / np.prod(stats.norm.pdf(z[i]))) for i in range(2)]
  )
  np.testing.assert_allclose(
    found.mutual_information.mean, information, rtol=1e-4
  )
  np.testing.assert_allclose(found.marginal_kl.mean, marginal, rtol=1e-4)


def test_kl_without_closed_form_is_sampled(key):
  """4000 examples, against quadrature."""
  prior = vj.Logistic(jnp.zeros(3), jnp.zeros(3))
  data = np.repeat(DATA, 10, axis=0)
  one = lambda key, x: kl_terms(key, make().encode({}, x), prior)
  found = evaluate.estimate_mean(
    jax.jit(jax.vmap(one))(jax.random.split(key, 4000), data)
  )
  exact = []
  for j, log_scale in enumerate([SCALE, -0.2, 0.0]):
    factor = (0.8, 0.3, 0.0)[j]
    # The divergence of each example by quadrature.
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    loc = factor * DATA[:, min(j, 1)][:, None]
    z = loc + np.exp(log_scale) * nodes
    log_ratio = stats.norm.logpdf(z, loc, np.exp(log_scale))
    log_ratio -= stats.logistic.logpdf(z)
    exact.append(np.mean(log_ratio @ weights / np.sqrt(2 * np.pi)))
  z = np.abs(found.mean - exact) / found.standard_error
  assert np.all(z < helpers.SIGMAS)


def test_dependent_dimensions_are_replaced_by_their_marginals():
  c = jnp.array([[1.0, 0.0], [0.6, 0.8]])
  q = marginals(vj.MultivariateNormal(jnp.array([0.1, 0.2]), 2 * c))
  np.testing.assert_allclose(q.loc, [0.1, 0.2])
  np.testing.assert_allclose(np.exp(q.log_scale), [2.0, 2.0], rtol=1e-6)


def test_low_rank_dimensions_are_replaced_by_their_marginals():
  u = jnp.array([[1.0], [0.6]])
  q = marginals(vj.LowRankNormal(jnp.array([0.1, 0.2]), jnp.zeros(2), u))
  np.testing.assert_allclose(q.loc, [0.1, 0.2])
  np.testing.assert_allclose(np.exp(2 * q.log_scale), [2.0, 1.36], rtol=1e-6)


def test_a_label_is_one_unit_with_the_moments_of_its_one_hot_vector():
  """The second label does not depend on x: one of two units is active."""
  logits = lambda x: jnp.stack([3 * x, jnp.zeros(3)])
  vae = vj.VAE(
    init=lambda key: {},
    encode=lambda params, x: vj.Categorical(logits(x)),
    decode=lambda params, z: vj.Normal(1.0 * z[0] * jnp.ones(3), 0.0),
    prior=lambda params: vj.Categorical(jnp.zeros((2, 3))),
  )
  x = np.random.RandomState(0).normal(size=(50, 3)).astype(np.float32)
  found = vj.measure_latents(jax.random.key(0), vae, {}, x)
  assert found.sizes == {'z[0]': 3, 'z[1]': 3}
  p = np.asarray(jax.vmap(lambda x: jax.nn.softmax(logits(x)))(x), np.float64)
  np.testing.assert_allclose(found.means, p.reshape(50, 6), rtol=1e-5)
  np.testing.assert_allclose(
    found.scale, np.sqrt(p * (1 - p)).mean(axis=0).ravel(), rtol=1e-5
  )
  np.testing.assert_array_equal(found.active_units, [True, False])
  divergence = np.sum(p * np.log(3 * p), axis=-1).mean(axis=0)
  np.testing.assert_allclose(found.kl.mean, divergence, rtol=1e-4, atol=1e-6)
  assert found.informative == 1
  assert found.has_labels


def _linear_in_b(params, z):
  slope, bias, log_scale = params
  return vj.Normal(slope * z['b'] + bias, log_scale)


def _linear_in_a(params, z):
  return _linear_in_b(params, {'b': z['a']})


def _covariance(variance, slope, noise):
  """Returns Cov of (root, slope * root + noise)."""
  return variance * np.outer([1, slope], [1, slope]) + np.diag([0, noise**2])


def test_terms_of_a_chain_sum_to_its_kl(key):
  """q(b) q(a|b) and p(a) p(b|a), whose joint distributions are Gaussian.

  400 estimates from 100 samples each. E_q[log q(a|b) - log p(a)] is known too.
  """
  q = vj.Chain(
    b=vj.Normal(jnp.array([0.3]), -0.2),
    a=vj.Conditional(_linear_in_b, (0.7, 0.1, -0.4)),
  )
  p = vj.Chain(
    a=vj.Normal(jnp.zeros(1), 0.0),
    b=vj.Conditional(_linear_in_a, (0.5, 0.0, 0.1)),
  )
  terms = jax.jit(jax.vmap(lambda key: kl_terms(key, q, p)))(
    jax.random.split(key, 400)
  )
  # In the order b, a.
  shift = np.array([0.3, 0.7 * 0.3 + 0.1])
  q_cov = _covariance(np.exp(-0.4), 0.7, np.exp(-0.4))
  p_cov = _covariance(1.0, 0.5, np.exp(0.1))[::-1, ::-1]
  inverse = np.linalg.inv(p_cov)
  total = 0.5 * (np.trace(inverse @ q_cov) + shift @ inverse @ shift - 2)
  total += 0.5 * (np.linalg.slogdet(p_cov)[1] - np.linalg.slogdet(q_cov)[1])
  first = 0.4 - 0.5 + 0.5 * (q_cov[1, 1] + shift[1] ** 2)
  helpers.assert_mean(terms, np.array([first, total - first]))


def test_sampled_moments_have_the_stated_noise(key):
  """SinhArcsinh without skew is a normal with known moments."""
  loc, log_scale = jnp.array([0.4, -2.0]), jnp.array([0.1, -1.0])
  q = latent_models.SinhArcsinh(loc, log_scale, jnp.zeros(2))
  assert not q.has_moments
  mean, variance, noise = jax.jit(jax.vmap(lambda key: moments(key, q)))(
    jax.random.split(key, 500)
  )
  helpers.assert_mean(mean, loc)
  helpers.assert_mean(variance, np.exp(2 * log_scale))
  np.testing.assert_allclose(noise, variance / NUM_DRAWS, rtol=1e-6)
  # A variance of 500 values has a relative error of 0.063.
  np.testing.assert_allclose(np.var(mean, axis=0), noise[0], rtol=0.5)


@pytest.mark.slow
def test_sampling_noise_is_subtracted_from_the_variance_of_means(key):
  """Without it the constant mean of scale 2 would look active: 4/100 > 0.01."""
  q = latent_models.SinhArcsinh(
    jnp.zeros(2), jnp.log(jnp.array([2.0, 1e-3])), jnp.zeros(2)
  )
  shifted = lambda x: latent_models.SinhArcsinh(
    jnp.stack([0.0 * x[0], x[0]]), q.log_scale, q.skew
  )
  vae = make(lambda: vj.Normal(jnp.zeros(2), jnp.zeros(2)))._replace(
    encode=lambda params, x: shifted(x)
  )
  found = vj.measure_latents(key, vae, {}, DATA)
  assert found.sizes == {'z': 2}
  # Six standard errors of the variance of 400 means of variance 0.04.
  assert found.mean_variance[0] < 6 * 0.04 * np.sqrt(2 / 400)
  np.testing.assert_allclose(
    found.mean_variance[1], np.var(DATA[:, 0]), rtol=1e-3
  )


def test_only_leaves_that_depend_on_the_example_are_batched():
  f = lambda params, x: (params * 2, params * x, jnp.sin(x), jnp.ones(3))
  found = _depends_on_second(f, jnp.ones(()), jnp.ones(()))
  assert found.tolist() == [False, True, True, False]


@pytest.mark.slow
def test_removing_an_unused_unit_keeps_the_model(measured, key):
  whole = make()
  means = measured.means.mean(axis=0)
  parts = vj.without_units(whole, measured.active, means)
  x = jnp.asarray(DATA[0])
  inference = parts.condition({}, x)
  assert inference.posterior.shape == inference.prior.shape == (2,)
  np.testing.assert_allclose(
    inference.likelihood(jnp.array([0.3, -1.0])).loc,
    whole.decode({}, jnp.array([0.3, -1.0, 7.0])).loc,
  )
  with jax.debug_key_reuse(False):
    many, few = (
      vj.estimate_nll(key, vae, {}, DATA[:100], num_samples=500).per_example
      for vae in (whole, parts)
    )
  helpers.assert_mean(many - few, 0.0)


def test_a_removed_unit_has_its_mean():
  keep = np.array([True, False, False])
  parts = vj.without_units(make(), keep, np.array([9.0, 4.0, 9.0]))
  likelihood = parts.condition({}, jnp.zeros(2)).likelihood
  np.testing.assert_allclose(likelihood(jnp.array([1.0])).loc, [2.0, 2.0])


def test_removing_dependent_units_raises():
  family = lambda loc, log_scale: vj.MultivariateNormal(loc, jnp.eye(3))
  vae = vj.without_units(
    make(family=family), np.array([True, True, False]), np.zeros(3)
  )
  with pytest.raises(TypeError, match='dependent units'):
    vae.condition({}, jnp.zeros(2))


def test_means_of_another_shape_raise():
  with pytest.raises(AssertionError, match='shape'):
    vj.without_units(make(), np.array([True, False]), np.zeros(3))


def test_warning_if_most_units_are_inactive(measured):
  assert evaluate.warning(measured) == ''
  half = measured._replace(mean_variance=np.array([0.5, 0.001]))
  assert evaluate.warning(half) == ''
  dead = measured._replace(mean_variance=np.array([0.5, 0.001, 0.002]))
  assert '2 of 3 latent units are inactive' in evaluate.warning(dead)


def test_no_data_raises():
  with pytest.raises(ValueError, match='no example'):
    vj.measure_latents(jax.random.key(0), make(), {}, DATA[:0])
