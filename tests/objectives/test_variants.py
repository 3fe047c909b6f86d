import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.helpers import assert_mean
from tests.objectives import exact
from vae_jax.objectives import variants

DRAWS = 40_000


def draws(key, function, num_draws=DRAWS, **options):
  def bound(key, p):
    return function(
      key, exact.posterior_of(p), exact.log_joint_of(p), **options
    )

  keys = jax.random.split(key, num_draws)
  both = jax.vmap(jax.value_and_grad(bound, 1), (0, None))
  return jax.jit(both)(keys, exact.params())


def check(key, function, bound, weights, **options):
  """Compares value and gradient in every parameter with quadrature."""
  values, grads = draws(key, function, **options)
  value, gradient = exact.expectation(bound, weights, 30)
  assert_mean(values, value)
  for name, truth in gradient.items():
    assert_mean(grads[name], truth)


@pytest.mark.quick('dreg')
@pytest.mark.parametrize(
  'estimator', ['pathwise', 'dreg', 'score_function', 'vimco']
)
def test_miwae_has_the_exact_value_and_gradient(estimator, key):
  options = {'num_groups': 2, 'num_samples': 3, 'estimator': estimator}
  check(key, vj.miw_elbo, exact.iwae, 3, **options)


def test_variance_of_miwae_decreases_with_the_number_of_groups(key):
  keys = jax.random.split(key)
  one, _ = draws(keys[0], vj.miw_elbo, 4000, num_groups=1, num_samples=2)
  many, _ = draws(keys[1], vj.miw_elbo, 4000, num_groups=8, num_samples=2)
  # The ratio of the variances is 8, its log has standard error 0.07 or so.
  assert abs(np.log(np.var(one) / np.var(many) / 8)) < 0.5


def test_piwae_has_the_exact_gradients_of_its_two_bounds(key):
  values, grads = draws(key, vj.piw_elbo, num_groups=3, num_samples=1)
  tight, in_theta = exact.expectation(exact.iwae, 3, 30)
  _, in_phi = exact.expectation(exact.iwae, 1, 30)
  assert_mean(values, tight)
  for name in exact.THETA:
    assert_mean(grads[name], in_theta[name])
  for name in exact.PHI:
    assert_mean(grads[name], in_phi[name])
    # The two gradients differ by more than the error.
    assert abs(in_phi[name] - in_theta[name]) > 0.01


def test_piwae_normalises_weights_within_consecutive_groups():
  """Equals the mean bound of the same draws, group by group."""

  def bound(p):
    q, log_joint = exact.posterior_of(p), exact.log_joint_of(p)
    options = {'num_groups': 3, 'num_samples': 2}
    return vj.piw_elbo(jax.random.key(5), q, log_joint, **options)

  def mean_bound(p, size):
    q, log_joint = exact.posterior_of(p), exact.log_joint_of(p)
    z = vj.reparameterise_many(jax.random.key(5), q, 6)
    log_w = jax.vmap(lambda z: log_joint(z) - q.log_prob(z))(z)
    groups = [exact.iwae(log_w[i : i + size]) for i in range(0, 6, size)]
    return sum(groups) / len(groups)

  p = exact.params()
  grads = jax.jit(jax.grad(bound))(p)
  for names, size in ((exact.THETA, 6), (exact.PHI, 2)):
    truth = jax.jit(jax.grad(mean_bound), static_argnums=1)(p, size)
    for name in names:
      np.testing.assert_allclose(grads[name], truth[name], rtol=1e-4)


@functools.cache
def combination(weight):
  return lambda log_w: (
    weight * jnp.mean(log_w) + (1 - weight) * exact.iwae(log_w)
  )


@pytest.mark.quick('0.0-dreg')
@pytest.mark.parametrize('estimator', ['pathwise', 'dreg'])
@pytest.mark.parametrize('weight', [0.0, 0.3, 1.0])
def test_ciwae_has_the_exact_value_and_gradient(weight, estimator, key):
  options = {'elbo_weight': weight, 'estimator': estimator}
  check(key, vj.ciw_elbo, combination(weight), 3, num_samples=3, **options)


def test_ciwae_dreg_has_variance_zero_at_the_posterior():
  def gradient(estimator):
    options = {'num_samples': 5, 'elbo_weight': 0.3, 'estimator': estimator}
    bound = lambda p: vj.ciw_elbo(
      jax.random.key(6), exact.posterior_of(p), exact.log_joint_of(p), **options
    )
    grads = jax.jit(jax.grad(bound))(exact.params_at_the_posterior())
    return np.array([grads[name] for name in exact.PHI])

  np.testing.assert_allclose(gradient('dreg'), 0.0, atol=1e-4)
  assert np.all(np.abs(gradient('pathwise')) > 0.01)


def test_ciwae_dreg_equals_dreg_where_a_weight_rounds_to_zero():
  def gradient(bound, **options):
    options |= {'num_samples': 8, 'estimator': 'dreg'}
    narrow = lambda z: -1e4 * z**2
    one = lambda loc: bound(
      jax.random.key(7), vj.Normal(loc, 0.0), narrow, **options
    )
    return jax.jit(jax.grad(one))(jnp.float32(0.0))

  np.testing.assert_allclose(
    gradient(vj.ciw_elbo, elbo_weight=0.0), gradient(vj.iw_elbo), rtol=1e-5
  )


@functools.cache
def renyi(alpha):
  return lambda log_w: (
    (jax.nn.logsumexp((1 - alpha) * log_w) - jnp.log(len(log_w))) / (1 - alpha)
  )


@pytest.mark.quick('0.0')
@pytest.mark.parametrize('alpha', [-1.0, 0.0, 0.5, 2.0])
def test_renyi_has_the_exact_value_and_gradient(alpha, key):
  check(key, vj.renyi_elbo, renyi(alpha), 3, num_samples=3, alpha=alpha)


def test_renyi_decreases_in_alpha_from_vr_max_to_the_elbo():
  def at(alpha):
    p = exact.params()
    return vj.renyi_elbo(
      jax.random.key(0),
      exact.posterior_of(p),
      exact.log_joint_of(p),
      num_samples=6,
      alpha=alpha,
    )

  alphas = (-np.inf, -1e4, -20.0, 0.0, 0.5, 1 - 1e-3, 1.0, 3.0)
  # One program for all orders: they share the weights.
  values = np.array(jax.jit(lambda: [at(alpha) for alpha in alphas])())
  assert np.all(np.diff(values) <= 0)
  np.testing.assert_allclose(values[6], values[5], atol=1e-2)
  # The limit of very negative orders is the largest weight.
  np.testing.assert_allclose(values[0], values[1], atol=1e-3)


POWERS = (1e-12, 1e-6, 1e-3, 0.1, 1.0, 7.0, 1e4)


@pytest.mark.quick('-800.0-2')
@pytest.mark.parametrize('count', [2, 5000])
@pytest.mark.parametrize('offset', [0.0, -800.0])
def test_power_means_are_accurate_near_the_geometric_mean(offset, count):
  rng = np.random.default_rng(0)
  log_w = np.float32(offset + 3 * rng.normal(size=count))
  signed = [sign * power for power in POWERS for sign in (1, -1)]
  found = jax.jit(
    lambda log_w: [
      jax.value_and_grad(variants._log_power_mean)(log_w, power)
      for power in signed
    ]
  )(log_w)
  # Relative to the mean the sum is within 1e-16 of its size.
  wide = np.longdouble(log_w)
  centred = wide - wide.mean()
  for (value, slope), power in zip(found, signed, strict=True):
    most = np.max(power * centred)
    if most < 0.1:
      mean = np.log1p(np.mean(np.expm1(power * centred)))
    else:
      mean = most + np.log(np.mean(np.exp(power * centred - most)))
    exact = wide.mean() + mean / power
    np.testing.assert_allclose(value, float(exact), rtol=1e-6, atol=3e-6)
    weights = np.exp(power * centred - most)
    np.testing.assert_allclose(
      slope, np.float64(weights / weights.sum()), rtol=2e-3, atol=1e-6
    )


@pytest.mark.quick('-1e-06', '1e-12')
@pytest.mark.parametrize('step', [1e-6, -1e-6, 1e-12])
def test_renyi_near_order_one_is_the_elbo(step):
  p = exact.params()
  value = lambda alpha: vj.renyi_elbo(
    jax.random.key(0),
    exact.posterior_of(p),
    exact.log_joint_of(p),
    num_samples=6,
    alpha=alpha,
  )
  np.testing.assert_allclose(value(1 + step), value(1), atol=2e-5)


def test_renyi_of_gaussians_equals_the_closed_form(key):
  """q = N(m, s^2), p = N(0, 1): log E_q[(p/q)^(1 - a)] / (1 - a)."""
  mean, log_scale, alpha = 0.5, -0.3, 0.5
  # (p/q)^(1 - a) q is normal up to a factor, of this precision and location.
  inner = alpha * np.exp(-2 * log_scale) + (1 - alpha)
  exponent = -0.5 * alpha * (1 - alpha) * mean**2 * np.exp(-2 * log_scale)
  truth = (exponent / inner - alpha * log_scale - 0.5 * np.log(inner)) / (
    1 - alpha
  )
  keys = jax.random.split(key, 2000)
  one = lambda key: vj.renyi_elbo(
    key,
    vj.Normal(mean, log_scale),
    vj.Normal(0.0, 0.0).log_prob,
    num_samples=1000,
    alpha=alpha,
  )
  values = jax.jit(jax.vmap(one))(keys)
  # 1000 draws leave a bias of half the weights' relative variance: 1e-4.
  np.testing.assert_allclose(np.mean(values), truth, atol=2e-3)


@pytest.mark.parametrize(
  ('function', 'options', 'message'),
  [
    (vj.miw_elbo, {'num_groups': 0}, 'num_groups is 0'),
    (vj.miw_elbo, {'num_groups': 2, 'estimator': 'stl'}, "'stl' is biased"),
    (vj.piw_elbo, {'num_groups': 0}, 'num_groups is 0'),
    (vj.ciw_elbo, {'elbo_weight': 1.5}, 'elbo_weight is 1.5'),
    (vj.ciw_elbo, {'elbo_weight': -0.5}, 'elbo_weight is -0.5'),
    (vj.ciw_elbo, {'elbo_weight': float('nan')}, 'elbo_weight is nan'),
    (
      vj.ciw_elbo,
      {'elbo_weight': 0.5, 'estimator': 'vimco'},
      "estimator is 'vimco'",
    ),
    (vj.renyi_elbo, {'alpha': float('nan')}, 'alpha is nan'),
    (vj.renyi_elbo, {'alpha': float('inf')}, 'alpha is inf'),
  ],
)
def test_impossible_options_are_refused(function, options, message, key):
  with pytest.raises(ValueError, match=message):
    function(key, vj.Normal(0.0, 0.0), jnp.square, num_samples=2, **options)


def test_sample_outside_the_support_makes_only_the_elbo_infinite(key):
  q = vj.Normal(0.0, 0.0)
  half = lambda z: jnp.where(
    z > 0, vj.Exponential(0.0).log_prob(abs(z)), -jnp.inf
  )
  options = {'num_samples': 20}
  tight = jax.jit(lambda key: vj.iw_elbo(key, q, half, **options))(key)
  assert jnp.isfinite(tight)
  for weight, value in ((0.0, tight), (0.5, -jnp.inf)):
    again = jax.random.clone(key)
    bound = lambda key, weight=weight: vj.ciw_elbo(
      key, q, half, elbo_weight=weight, **options
    )
    found = jax.jit(bound)(again)
    np.testing.assert_allclose(found, value, rtol=1e-6)
