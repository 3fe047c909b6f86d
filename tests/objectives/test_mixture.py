import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.helpers import assert_mean, assert_trees_close
from tests.objectives import exact
from vae_jax import objectives


def gradients(key, p, num_samples, weighted):
  """g and h, from the gradients of the two estimators themselves."""
  bounds = {
    True: lambda q, e: vj.iw_elbo(
      key, q, exact.log_joint_of(p), num_samples=num_samples, estimator=e
    ),
    False: lambda q, e: (
      vj.elbo(
        key,
        q,
        vj.Normal(0.0, 0.0),
        lambda z: exact.log_joint_of(p)(z) - vj.Normal(0.0, 0.0).log_prob(z),
        form='joint',
        num_samples=num_samples,
        estimator=e,
      ).elbo
    ),
  }[weighted]
  q = exact.posterior_of(p)
  with jax.debug_key_reuse(False):
    g = jax.grad(bounds)(q, 'pathwise')
    other = jax.grad(bounds)(q, 'dreg' if weighted else 'stl')
  g = np.array([g.loc, g.log_scale])
  return g, g - np.array([other.loc, other.log_scale])


@pytest.mark.parametrize('weighted', [True, False])
@pytest.mark.parametrize('num_samples', [1, 4])
def test_the_two_gradients_are_compared_draw_for_draw(num_samples, weighted):
  p = exact.params()
  pair = objectives.control_variate(
    jax.random.key(5),
    exact.posterior_of(p),
    exact.log_joint_of(p),
    num_samples=num_samples,
    weighted=weighted,
  )
  g, h = gradients(jax.random.key(5), p, num_samples, weighted)
  np.testing.assert_allclose(pair.plain, g, rtol=1e-4)
  np.testing.assert_allclose(pair.difference, h, rtol=1e-4)


def pairs_of(key, noise):
  """g = 5 + a + b and h = a, so that the best coefficient is 1."""
  a_key, b_key = jax.random.split(key)
  a = jax.random.normal(a_key, (50, 3))
  b = noise * jax.random.normal(b_key, (50, 3))
  return vj.ControlVariate(5 + a + b, a)


def test_a_coefficient_is_the_regression_on_the_other_examples(key):
  pairs = pairs_of(key, 0.3)
  c = vj.learned_coefficient(pairs._replace(plain=0.5 * pairs.plain))
  for b in (0, 17):
    g, h = (np.delete(np.asarray(x), b, axis=0) for x in pairs)
    g, h = 0.5 * (g - g.mean(axis=0)), h - h.mean(axis=0)
    np.testing.assert_allclose(c[b], np.sum(g * h) / np.sum(h * h), rtol=1e-4)


def test_a_coefficient_knows_nothing_of_its_own_draws(key):
  pairs = pairs_of(key, 0.3)
  moved = jax.tree.map(lambda x: x.at[3].set(-70.0), pairs)
  before, after = vj.learned_coefficient(pairs), vj.learned_coefficient(moved)
  np.testing.assert_allclose(after[3], before[3], rtol=1e-3)
  assert abs(after[4] - before[4]) > 1e-3


def test_what_is_all_noise_is_all_removed(key):
  c = vj.learned_coefficient(pairs_of(key, 0.0))
  np.testing.assert_allclose(c, 1.0, rtol=1e-5)


def test_a_much_noisier_held_gradient_is_left_alone(key):
  """g' = g - h of ten times the deviation of g, whatever the regression."""
  pairs = pairs_of(key, 0.0)
  held = 10 * pairs.difference
  pairs = vj.ControlVariate(pairs.plain, pairs.plain - held)
  np.testing.assert_array_equal(vj.learned_coefficient(pairs), 0.0)
  # And never more than one, or less than none, of it.
  tripled = vj.ControlVariate(3 * pairs.plain, pairs.plain)
  assert np.all(vj.learned_coefficient(tripled) == 1.0)


@pytest.mark.parametrize(
  'pairs',
  [
    vj.ControlVariate(jnp.ones((1, 2)), jnp.ones((1, 2))),
    vj.ControlVariate(jnp.ones((3, 2)), jnp.zeros((3, 2))),
    vj.ControlVariate(jnp.ones((3, 1)), jnp.array([[1.0], [jnp.inf], [2.0]])),
    vj.ControlVariate(jnp.array([[1.0], [jnp.nan], [2.0]]), jnp.ones((3, 1))),
  ],
)
def test_where_nothing_can_be_learned_the_gradient_is_plain(pairs):
  assert vj.learned_coefficient(pairs)[0] == 0.0


def coefficient_at(p, weighted=True, num_samples=5):
  one = functools.partial(
    objectives.control_variate,
    q=exact.posterior_of(p),
    log_joint=exact.log_joint_of(p),
    num_samples=num_samples,
    weighted=weighted,
  )
  keys = jax.random.split(jax.random.key(0), 2000)
  return float(vj.learned_coefficient(jax.jit(jax.vmap(one))(keys))[0])


def test_it_is_one_at_the_posterior_and_near_none_where_q_is_narrow():
  best = exact.params_at_the_posterior()
  # Where the other gradient has no noise, the best mixture is all of it.
  np.testing.assert_allclose(coefficient_at(best), 1.0, atol=1e-2)
  narrow = best | {'loc': best['loc'] - 3.0, 'log_scale': jnp.float32(-1.5)}
  assert coefficient_at(narrow, num_samples=10) < 0.3


def test_the_learned_mixture_of_a_batch_is_unbiased(key):
  """The gradient of a batch of 4, the coefficient learned within it."""

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


@pytest.mark.parametrize('objective', ['elbo', 'iwae'])
def test_the_loss_mixes_and_logs_what_was_learned_of_its_draws(objective, key):
  config = vj.Config(
    latent_dim=2,
    hidden_sizes=(8,),
    objective=objective,
    estimator='mixture',
    num_samples=2,
  )
  vae = vj.make_vae(config, (2, 2, 1))
  init_key, loss_key = jax.random.split(key)
  params = vae.init(init_key)
  # An encoder so sure that the coefficient is another where weighted.
  params['encoder'] = jax.tree.map(lambda p: 2 * p, params['encoder'])
  batch = jnp.arange(20.0).reshape(5, 2, 2, 1) % 3 // 2
  weighted = objective == 'iwae'
  compare = lambda key, x: objectives.vae_bound(
    vj.control_variate, vae, key, params, x, num_samples=2, weighted=weighted
  )

  def by_hand(key, params, batch):
    keys = jax.random.split(key, len(batch))
    coefficients = vj.learned_coefficient(jax.vmap(compare)(keys, batch))

    def one(key, x, coefficient):
      options = {'num_samples': 2, 'coefficient': coefficient}
      if weighted:
        bound = vj.mixed_iw_elbo
        return objectives.vae_bound(bound, vae, key, params, x, **options)
      q, prior = vae.encode(params, x), vae.prior(params)
      log_likelihood = lambda z: vae.decode(params, z).log_prob(x)
      return vj.mixed_elbo(key, q, prior, log_likelihood, **options).elbo

    return -jnp.mean(jax.vmap(one)(keys, batch, coefficients)), coefficients

  both = lambda loss: jax.jit(jax.value_and_grad(loss, 1, has_aux=True))(
    loss_key, params, batch
  )
  with jax.debug_key_reuse(False):
    (value, terms), grads = both(objectives.make_loss(config, vae))
    (truth, coefficients), true_grads = both(by_hand)
  assert np.all(coefficients > 0)
  np.testing.assert_allclose(terms['coefficient'], coefficients, rtol=1e-3)
  np.testing.assert_allclose(value, truth, rtol=1e-5)
  bound = terms[objectives.bound_name(objective)]
  np.testing.assert_allclose(value, -np.mean(bound), rtol=1e-5)
  assert_trees_close(grads, true_grads)
