"""Pareto-smoothed weights: tails whose shape is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from vae_jax.evaluate.pareto import _fit_pareto, measure_weights, pareto_smooth


@pytest.mark.quick('0.7')
@pytest.mark.parametrize('shape', [-0.3, 0.0, 0.3, 0.7, 1.2])
def test_fit_finds_the_shape_and_scale_of_a_tail(shape):
  """Within 5 standard errors of the mean of 20 fits to 1000 draws.

  The asymptotic standard deviation of k is (1 + k) / sqrt(M) for k > -1/2; the
  prior moves k by (1/2 - k) 10 / 1010.
  """
  draws = stats.genpareto.rvs(
    shape, scale=2.0, size=(20, 1000), random_state=np.random.default_rng(0)
  )
  draws = np.sort(draws, axis=1).astype(np.float32)
  k, sigma = jax.jit(jax.vmap(_fit_pareto))(draws)
  prior = (0.5 - shape) * 10 / 1010
  error = (1 + shape) / np.sqrt(1000 * 20)
  assert abs(np.mean(k) - prior - shape) < 5 * error
  scale_error = 2 * np.sqrt(2 * (1 + shape) / (1000 * 20))
  assert abs(np.mean(sigma) - 2.0) < 5 * scale_error


@pytest.mark.quick('0.5')
@pytest.mark.parametrize('scale', [0.5, 0.7])
def test_k_of_a_narrow_proposal(scale):
  """q = N(0, s^2) for p = N(0, 1): w ~ exp(z^2 (1/s^2 - 1) / 2), k = 1 - s^2.

  Under q, w > t has the probability t^(-1 / (1 - s^2)) but for a factor of the
  order of 1 / sqrt(log t), which moves k-hat: .1 is about three standard errors
  (1 + k) / sqrt(949) of the 949 largest weights.
  """
  z = scale * np.random.default_rng(1).standard_normal(100_000)
  log_w = stats.norm.logpdf(z) - stats.norm.logpdf(z, 0, scale)
  found = jax.jit(pareto_smooth)(jnp.asarray(log_w, jnp.float32))
  assert abs(float(found.pareto_k) - (1 - scale**2)) < 0.1


@pytest.mark.slow
def test_smoothing_keeps_the_small_weights_and_the_order():
  log_w = 0.8 * np.random.default_rng(2).standard_normal(1000)
  log_w = jnp.asarray(log_w, jnp.float32)
  found = pareto_smooth(log_w)
  size = 95  # ceil(min(200, 3 sqrt(1000)))
  changed = np.asarray(found.log_weights != log_w)
  assert changed.sum() <= size
  order = np.argsort(log_w)
  assert not changed[order[:-size]].any()
  np.testing.assert_array_equal(
    np.argsort(np.asarray(found.log_weights)[order], kind='stable'),
    np.arange(1000),
  )
  assert np.max(found.log_weights) <= np.max(log_w)


@pytest.mark.slow
def test_smoothed_weights_are_quantiles_of_the_fitted_tail():
  """scipy's quantiles of the k and sigma that are fitted."""
  log_w = jnp.asarray(
    1.2 * np.random.default_rng(3).standard_normal(400), jnp.float32
  )
  found = pareto_smooth(log_w)
  size = 60
  ordered = np.sort(np.exp(np.asarray(log_w, np.float64)))
  excess = ordered[-size:] - ordered[-size - 1]
  k, sigma = _fit_pareto(jnp.asarray(excess, jnp.float32))
  levels = (np.arange(size) + 0.5) / size
  wanted = ordered[-size - 1] + stats.genpareto.ppf(
    levels, float(k), scale=float(sigma)
  )
  np.testing.assert_allclose(
    np.sort(np.exp(found.log_weights))[-size:],
    np.minimum(wanted, ordered[-1]),
    rtol=1e-4,
  )


@pytest.mark.slow
def test_equal_weights_are_perfect_and_absent_ones_hopeless():
  equal = pareto_smooth(jnp.full(100, -3.0))
  assert equal.pareto_k == -jnp.inf
  np.testing.assert_array_equal(equal.log_weights, -3.0)
  few = jnp.where(jnp.arange(100) < 5, 0.0, -jnp.inf)
  assert pareto_smooth(few).pareto_k == jnp.inf
  np.testing.assert_array_equal(pareto_smooth(few).log_weights, few)
  assert pareto_smooth(jnp.full(100, -jnp.inf)).pareto_k == jnp.inf
  assert np.isnan(pareto_smooth(jnp.zeros(20)).pareto_k)


@pytest.mark.slow
def test_weights_of_a_model_are_those_of_the_nll(key):
  """The exact posterior has equal weights: no tail, log p(x) at any K."""
  zeros = jnp.zeros(2)

  def model(scale):
    return vj.VAE(
      init=lambda key: {},
      encode=lambda params, x: vj.Normal(x / 2, zeros + np.log(scale)),
      decode=lambda params, z: vj.Normal(z, zeros),
      prior=lambda params: vj.Normal(zeros, zeros),
    )

  x = jax.random.normal(key, (20, 2))
  narrow = measure_weights(key, model(0.4), {}, x, num_samples=200)
  nll = vj.estimate_nll(key, model(0.4), {}, x, num_samples=200)
  np.testing.assert_allclose(-narrow.log_marginal, nll.per_example, rtol=1e-5)
  assert narrow.nll.mean == pytest.approx(nll.mean, rel=1e-5)
  exact = stats.norm.logpdf(x, 0, np.sqrt(2)).sum(axis=1)
  wide = measure_weights(key, model(1.0), {}, x, num_samples=200)
  assert np.all(wide.pareto_k < narrow.pareto_k.max())
  assert narrow.reliable() < wide.reliable() == 1.0
  # Standard error of the log of a mean of K weights, by their ESS.
  error = np.sqrt(1 / wide.effective_sample_size - 1 / 200)
  assert np.all(np.abs(wide.log_marginal - exact) < 5 * error)
  assert np.all(np.abs(wide.smoothed_log_marginal - exact) < 5 * error)
  assert np.all(narrow.effective_sample_size < wide.effective_sample_size)
  with pytest.raises(ValueError, match='at least 25'):
    measure_weights(key, model(0.4), {}, x, num_samples=24)
