"""Draws outside the support of p: weights of 0, bounds of -inf."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax import objectives
from vae_jax.objectives import importance


def log_joint(z):
  """Is -inf for about a third of the draws of q, below z = -0.4."""
  return jnp.where(z > -0.4, -0.5 * (z - 1) ** 2, -jnp.inf)


def posterior(phi):
  return vj.Normal(phi[0], phi[1])


def elbo(key, phi, **options):
  prior = vj.Uniform(-0.4, 40.0)
  likelihood = lambda z: -0.5 * (z - 1) ** 2
  return vj.elbo(key, posterior(phi), prior, likelihood, **options).elbo


def of(function, **options):
  return lambda key, phi: function(key, posterior(phi), log_joint, **options)


BOUNDS = {
  **{
    f'iw {name}': of(vj.iw_elbo, num_samples=k, estimator=name)
    for name, k in [
      ('pathwise', 2),
      ('dreg', 2),
      ('score_function', 2),
      ('vimco', 2),
      ('stl', 1),
    ]
  },
  'vimco of 3': of(vj.iw_elbo, num_samples=3, estimator='vimco'),
  'piw': of(objectives.piw_elbo, num_groups=2, num_samples=1),
  'miw': of(
    objectives.miw_elbo, num_groups=2, num_samples=2, estimator='vimco'
  ),
  'ciw': of(objectives.ciw_elbo, num_samples=2, elbo_weight=0.0),
  'ciw dreg': of(
    objectives.ciw_elbo, num_samples=2, elbo_weight=0.3, estimator='dreg'
  ),
  'mixed iw': of(objectives.mixed_iw_elbo, num_samples=2, coefficient=0.3),
  **{
    f'renyi {alpha}': of(objectives.renyi_elbo, num_samples=2, alpha=alpha)
    for alpha in (-np.inf, 0.5, 1 - 1e-6, 1, 1 + 1e-6, 2.0)
  },
  **{
    f'elbo {estimator} {form}': lambda key, phi, e=estimator, f=form: elbo(
      key, phi, estimator=e, form=f, num_samples=2
    )
    for estimator, form in [
      ('pathwise', 'joint'),
      ('stl', 'joint'),
      ('score_function', 'joint'),
      ('score_function', 'entropy'),
    ]
  },
  **{
    f'score function {b}': lambda key, phi, b=b: vj.score_function(
      key, posterior(phi), log_joint, num_samples=2, baseline=b
    )
    for b in (None, 0.3, 'leave_one_out')
  },
}
# One impossible draw makes the mean -inf, or the power mean for alpha > 1.
STRICT = ('elbo', 'score', 'ciw dreg', 'renyi 1', 'renyi 2', 'iw stl')


@pytest.mark.quick(
  'renyi -inf',
  'renyi 1',
  'score function 0.3',
  'score function leave_one_out',
  'score function None',
)
@pytest.mark.parametrize('name', BOUNDS)
def test_bounds_and_gradients_with_impossible_draws(name, key):
  both = jax.vmap(jax.value_and_grad(BOUNDS[name], 1), (0, None))
  keys = jax.random.split(key, 300)
  phi = jnp.array([0.0, 0.0])
  values, slopes = map(np.asarray, jax.jit(both)(keys, phi))
  assert not np.isnan(slopes).any()
  assert np.isfinite(slopes).all()
  assert np.isfinite(values).any()
  assert (np.isfinite(values) | (values == -np.inf)).all()
  # P(z < -0.4) = 0.345 under q: 0.57 for one of two, 0.12 for two of two.
  share = np.mean(values == -np.inf)
  if name.startswith(STRICT):
    assert share > 0.2
  elif name != 'vimco of 3':
    assert 0.02 < share < 0.3


def test_baseline_of_vimco_is_independent_of_its_own_draw():
  log_w = jnp.array([-jnp.inf, 0.3, -1.2])
  without = importance._without_each
  moved = without(log_w.at[1].set(5.0))
  np.testing.assert_array_equal(moved[1], without(log_w)[1])


def test_bound_of_some_impossible_draws_leaves_them_out():
  log_w = jnp.array([-jnp.inf, 0.3, -1.2])
  value, slope = jax.value_and_grad(objectives.log_mean_exp)(log_w)
  weights = np.array([0.0, np.exp(0.3), np.exp(-1.2)])
  np.testing.assert_allclose(value, np.log(weights.mean()), rtol=1e-6)
  np.testing.assert_allclose(slope, weights / weights.sum(), rtol=1e-6)
  value, slope = jax.value_and_grad(objectives.log_mean_exp)(log_w[:1])
  assert value == -np.inf
  assert slope == 0.0
  assert np.isnan(objectives.log_mean_exp(jnp.array([jnp.nan, -jnp.inf])))


@pytest.mark.slow
def test_measure_valued_of_two_infinities_has_no_difference(key):
  value = lambda logits: vj.measure_valued(
    key, vj.Bernoulli(logits), lambda z: -jnp.inf + 0 * z
  )
  assert jax.grad(value)(0.3) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize('form', ['kl', 'joint'])
def test_an_infinite_divergence_of_weight_zero_has_no_effect(form):
  q, prior = vj.Uniform(0.0, 2.0), vj.Uniform(0.0, 1.0)

  def terms(beta):
    key = jax.random.key(0)
    return vj.elbo(key, q, prior, jnp.sin, beta=beta, form=form, num_samples=9)

  for found in (terms(0), jax.jit(terms)(0.0)):
    assert found.kl == np.inf
    assert found.elbo == found.log_likelihood
  assert terms(0.5).elbo == -np.inf


@pytest.mark.slow
@pytest.mark.parametrize('form', ['kl', 'entropy', 'joint'])
def test_pathwise_slope_in_the_ends_of_a_support(key, form):
  """E[z] - KL = h / 2 + log h - log 4 of z ~ U(0, h) and p = U(0, 4)."""

  def bound(high):
    q, prior = vj.Uniform(0.0, high), vj.Uniform(0.0, 4.0)
    return vj.elbo(key, q, prior, jnp.asarray, form=form, num_samples=4000).elbo

  # Six standard errors of the mean of z / h: p = 2e-9.
  np.testing.assert_allclose(jax.grad(bound)(2.0), 1.0, atol=6 * 0.0046)


def test_slope_in_a_weight_of_zero_is_the_divergence(key):
  q, prior = vj.Normal(0.5, 0.0), vj.Normal(0.0, 0.0)
  bound = lambda beta: vj.elbo(key, q, prior, jnp.sin, beta=beta).elbo
  np.testing.assert_allclose(jax.grad(bound)(0.0), -0.125, rtol=1e-6)
