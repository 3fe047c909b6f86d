import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.helpers import assert_mean, assert_trees_close
from tests.objectives import exact
from vae_jax import objectives
from vae_jax.models.make import make_vae

learned_coefficient = jax.jit(vj.learned_coefficient)


def gradients(key, p, num_samples, weighted):
  """Returns g and h, from the gradients of the two estimators."""
  log_joint = exact.log_joint_of(p)

  def bound(q, estimator):
    options = {'num_samples': num_samples, 'estimator': estimator}
    if weighted:
      return vj.iw_elbo(key, q, log_joint, **options)
    prior = vj.Normal(0.0, 0.0)
    log_likelihood = lambda z: log_joint(z) - prior.log_prob(z)
    options['form'] = 'joint'
    return vj.elbo(key, q, prior, log_likelihood, **options).elbo

  q = exact.posterior_of(p)
  g = jax.grad(bound)(q, 'pathwise')
  other = jax.grad(bound)(q, 'dreg' if weighted else 'stl')
  g = jnp.array([g.loc, g.log_scale])
  return g, g - jnp.array([other.loc, other.log_scale])


@pytest.mark.quick('4-False', '1-True')
@pytest.mark.parametrize('weighted', [True, False])
@pytest.mark.parametrize('num_samples', [1, 4])
def test_gradients_equal_those_of_the_estimators_for_the_same_draws(
  num_samples, weighted
):
  p = exact.params()

  def both(key):
    q, log_joint = exact.posterior_of(p), exact.log_joint_of(p)
    options = {'num_samples': num_samples, 'weighted': weighted}
    pair = objectives.control_variate(key, q, log_joint, **options)
    return pair, gradients(key, p, num_samples, weighted)

  with jax.debug_key_reuse(False):
    pair, (g, h) = jax.jit(both)(jax.random.key(5))
  np.testing.assert_allclose(pair.plain, g, rtol=1e-4)
  np.testing.assert_allclose(pair.difference, h, rtol=1e-4)


@pytest.mark.parametrize('weighted', [True, False])
def test_gradients_are_stop_gradient(weighted):
  """In the parameters of q, and in those that the log-joint closes over."""

  def total(p):
    q, log_joint = exact.posterior_of(p), exact.log_joint_of(p)
    pair = objectives.control_variate(
      jax.random.key(5), q, log_joint, num_samples=2, weighted=weighted
    )
    return jnp.sum(pair.plain + 2 * pair.difference)

  grads = jax.jit(jax.grad(total))(exact.params())
  assert all(gradient == 0 for gradient in grads.values())


def pairs_of(key, noise):
  """Returns g = 5 + a + b and h = a, whose best coefficient is 1."""
  a_key, b_key = jax.random.split(key)
  a = jax.random.normal(a_key, (50, 3))
  b = noise * jax.random.normal(b_key, (50, 3))
  return vj.ControlVariate(5 + a + b, a)


def test_coefficient_is_the_regression_over_the_other_examples(key):
  pairs = pairs_of(key, 0.3)
  c = learned_coefficient(pairs._replace(plain=0.5 * pairs.plain))
  for b in (0, 17):
    g, h = (np.delete(np.asarray(x), b, axis=0) for x in pairs)
    g, h = 0.5 * (g - g.mean(axis=0)), h - h.mean(axis=0)
    np.testing.assert_allclose(c[b], np.sum(g * h) / np.sum(h * h), rtol=1e-4)


def test_coefficient_is_independent_of_its_own_example(key):
  pairs = pairs_of(key, 0.3)
  # The best coefficient is 0.5, inside of [0, 1].
  pairs = pairs._replace(plain=0.5 * pairs.plain)
  moved = jax.tree.map(lambda x: x.at[3].set(-70.0), pairs)
  before, after = learned_coefficient(pairs), learned_coefficient(moved)
  np.testing.assert_allclose(after[3], before[3], rtol=1e-3)
  assert abs(after[4] - before[4]) > 1e-3


def test_coefficient_is_one_where_the_difference_is_all_noise(key):
  c = learned_coefficient(pairs_of(key, 0.0))
  np.testing.assert_allclose(c, 1.0, rtol=1e-5)


def test_coefficient_is_zero_where_the_other_gradient_is_much_noisier(key):
  """g' = g - h = -r a for g = a: the regression would give 1 / (1 + r)."""
  a = pairs_of(key, 0.0).difference
  at = lambda r: learned_coefficient(vj.ControlVariate(a, (1 + r) * a))
  # Var g' / Var g = r^2 is compared with 4.
  np.testing.assert_allclose(at(1.9), 1 / 2.9, rtol=1e-5)
  np.testing.assert_array_equal(at(2.1), 0.0)


def test_coefficient_is_clipped_to_zero_and_one(key):
  pairs = pairs_of(key, 0.0)
  tripled = vj.ControlVariate(3 * pairs.plain, pairs.plain)
  assert np.all(learned_coefficient(tripled) == 1.0)
  opposed = vj.ControlVariate(pairs.plain, -0.5 * pairs.plain)
  assert np.all(learned_coefficient(opposed) == 0.0)


@pytest.mark.parametrize(
  'pairs',
  [
    vj.ControlVariate(jnp.ones((1, 2)), jnp.ones((1, 2))),
    vj.ControlVariate(jnp.ones((3, 2)), jnp.zeros((3, 2))),
    vj.ControlVariate(jnp.ones((3, 1)), jnp.array([[1.0], [jnp.inf], [2.0]])),
    vj.ControlVariate(jnp.array([[1.0], [jnp.nan], [2.0]]), jnp.ones((3, 1))),
  ],
)
def test_coefficient_is_zero_where_it_cannot_be_estimated(pairs):
  assert learned_coefficient(pairs)[0] == 0.0


def coefficient_at(p, weighted=True, num_samples=5):
  one = functools.partial(
    objectives.control_variate,
    q=exact.posterior_of(p),
    log_joint=exact.log_joint_of(p),
    num_samples=num_samples,
    weighted=weighted,
  )
  keys = jax.random.split(jax.random.key(0), 2000)
  return float(learned_coefficient(jax.jit(jax.vmap(one))(keys))[0])


def test_coefficient_is_one_at_the_posterior_and_small_for_a_narrow_q():
  best = exact.params_at_the_posterior()
  # The other gradient has no noise there: the best combination is all of it.
  np.testing.assert_allclose(coefficient_at(best), 1.0, atol=1e-2)
  narrow = best | {'loc': best['loc'] - 3.0, 'log_scale': jnp.float32(-1.5)}
  assert coefficient_at(narrow, num_samples=10) < 0.3


@pytest.mark.slow
def test_combination_with_the_learned_coefficient_is_unbiased(key):
  """The coefficient is learned within the batch of 4."""

  def loss(key, p):
    q, log_joint = exact.posterior_of(p), exact.log_joint_of(p)
    keys = jax.random.split(key, 4)
    compare = lambda key: objectives.control_variate(
      key, q, log_joint, num_samples=3, weighted=True
    )
    c = vj.learned_coefficient(jax.vmap(compare)(jax.random.clone(keys)))
    bound = lambda key, c: vj.mixed_iw_elbo(
      key, q, log_joint, num_samples=3, coefficient=c
    )
    return jnp.mean(jax.vmap(bound)(keys, c))

  keys = jax.random.split(key, 20_000)
  grads = jax.jit(jax.vmap(jax.grad(loss, 1), (0, None)))(keys, exact.params())
  _, gradient = exact.expectation(exact.iwae, 3, 30)
  for name, truth in gradient.items():
    assert_mean(grads[name], truth)


@pytest.mark.slow
@pytest.mark.parametrize('objective', ['elbo', 'iwae'])
def test_loss_combines_with_the_coefficient_of_its_own_draws(objective):
  vae = make_vae(data_shape=(2, 2, 1), latent_dim=2, hidden_sizes=(8,))
  # A seed for which no coefficient is clipped to 0 or 1.
  init_key, loss_key = jax.random.split(jax.random.key(78))
  params = jax.jit(vae.init)(init_key)
  # An encoder confident enough for a coefficient that depends on `weighted`.
  params['encoder'] = jax.tree.map(lambda p: 2 * p, params['encoder'])
  batch = jnp.arange(20.0).reshape(5, 2, 2, 1) % 3 // 2
  weighted = objective == 'iwae'

  def by_hand(key, params, batch):
    keys = jax.random.split(key, len(batch))

    def compare(key, x):
      inference = vae.condition(params, x)
      options = {'num_samples': 2, 'weighted': weighted}
      q, log_joint = inference.posterior, inference.log_joint
      return vj.control_variate(key, q, log_joint, **options)

    coefficients = vj.learned_coefficient(jax.vmap(compare)(keys, batch))

    def one(key, x, coefficient):
      options = {'num_samples': 2, 'coefficient': coefficient}
      inference = vae.condition(params, x)
      q = inference.posterior
      if weighted:
        return vj.mixed_iw_elbo(key, q, inference.log_joint, **options)
      prior, log_likelihood = inference.prior, inference.log_likelihood
      return vj.mixed_elbo(key, q, prior, log_likelihood, **options).elbo

    return -jnp.mean(jax.vmap(one)(keys, batch, coefficients)), coefficients

  both = lambda loss: jax.jit(jax.value_and_grad(loss, 1, has_aux=True))(
    loss_key, params, batch
  )
  loss = vj.make_loss(
    vae, objective=objective, estimator='adaptive', num_samples=2
  )
  with jax.debug_key_reuse(False):
    (value, terms), grads = both(loss)
    (truth, coefficients), true_grads = both(by_hand)
  assert np.all((coefficients > 0) & (coefficients < 1))
  np.testing.assert_allclose(terms['coefficient'], coefficients, rtol=1e-3)
  np.testing.assert_allclose(value, truth, rtol=1e-5)
  bound = terms[objectives.OBJECTIVES[objective].metric]
  np.testing.assert_allclose(value, -np.mean(bound), rtol=1e-5)
  assert_trees_close(grads, true_grads)


@pytest.mark.parametrize(
  ('plain', 'difference'),
  [((4,), (4,)), ((4, 2, 1), (4, 2, 1)), ((4, 2), (4, 1)), ((4, 2), (2,))],
)
def test_pairs_of_the_wrong_shape_are_refused(plain, difference):
  with pytest.raises(AssertionError):
    vj.learned_coefficient(
      vj.ControlVariate(jnp.ones(plain), jnp.ones(difference))
    )
