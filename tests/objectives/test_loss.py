import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.helpers import assert_trees_close
from vae_jax import objectives


def test_loss_is_minus_the_mean_bound_with_a_key_an_example(key):
  options = {'beta': 0.5, 'num_samples': 2, 'form': 'joint'}
  vae, loss = small(**options)
  init_key, loss_key = jax.random.split(key)
  params = vae.init(init_key)
  batch = jnp.ones((3, 2, 2, 1))
  one = jax.jit(
    lambda key, x: objectives.vae_elbo(vae, key, params, x, **options)
  )
  with jax.debug_key_reuse(False):
    value, terms = jax.jit(loss)(loss_key, params, batch)
    keys = jax.random.split(loss_key, 3)
    each = [one(k, x) for k, x in zip(keys, batch, strict=True)]
  np.testing.assert_allclose(value, -np.mean([t.elbo for t in each]), rtol=1e-5)
  np.testing.assert_allclose(
    terms['log_likelihood'], [t.log_likelihood for t in each], rtol=1e-5
  )
  # Equal images, different noise.
  assert len(np.unique(np.asarray(terms['log_likelihood']))) == 3


def test_objective_flag_changes_the_loss(key):
  config = vj.Config(
    latent_dim=2, hidden_sizes=(8,), objective='iwae', num_samples=4
  )
  vae = vj.make_vae(config, (2, 2, 1))
  init_key, loss_key = jax.random.split(key)
  params = vae.init(init_key)
  value, terms = objectives.make_loss(config, vae)(
    loss_key, params, jnp.ones((3, 2, 2, 1))
  )
  assert set(terms) == {'iw_elbo'}
  np.testing.assert_allclose(value, -np.mean(terms['iw_elbo']), rtol=1e-6)


def small(**options):
  config = vj.Config(latent_dim=2, hidden_sizes=(8,), **options)
  vae = vj.make_vae(config, (2, 2, 1))
  return vae, objectives.make_loss(config, vae)


BATCH = jnp.arange(20.0).reshape(5, 2, 2, 1) % 3 / 2


def test_the_bound_reported_has_beta_one_whatever_trains(key):
  vae, loss = small(beta=3.0, free_bits=0.7)
  params_key, loss_key = jax.random.split(key)
  value, terms = loss(loss_key, vae.init(params_key), BATCH)
  parts = terms['log_likelihood'] - terms['kl']
  np.testing.assert_allclose(terms['elbo'], parts, rtol=1e-5)
  assert abs(value + np.mean(parts)) > 0.1


def test_beta_of_a_step_takes_the_place_of_the_flag(key):
  vae, loss = small(beta=3.0)
  params_key, loss_key = jax.random.split(key)
  params = vae.init(params_key)
  with jax.debug_key_reuse(False):
    value, terms = loss(loss_key, params, BATCH, beta=0.25)
    flagged, _ = loss(loss_key, params, BATCH)
  means = {name: np.mean(x) for name, x in terms.items()}
  cost = lambda beta: beta * means['kl'] - means['log_likelihood']
  np.testing.assert_allclose(value, cost(0.25), rtol=1e-5)
  np.testing.assert_allclose(flagged, cost(3.0), rtol=1e-5)


def test_free_bits_cost_no_less_than_the_minimum_a_dimension(key):
  each = np.array([[0.1, 2.0, 0.9], [0.3, 4.0, 1.5]])  # Means 0.2, 3, 1.2.
  np.testing.assert_allclose(vj.free_bits(jnp.array(each), 1.0), 1 + 3 + 1.2)
  vae, loss = small(free_bits=0.1, beta=3.0)
  params_key, loss_key = jax.random.split(key)

  def by_hand(key, params, batch):
    q = jax.vmap(vae.encode, (None, 0))(params, batch)
    parts = 0.5 * (jnp.exp(2 * q.log_scale) + q.loc**2 - 1) - q.log_scale
    each = jnp.mean(parts, axis=0)
    log_likelihood = loss(key, params, batch)[1]['log_likelihood']
    cost = jnp.sum(jnp.maximum(each, 0.1))
    return 3 * cost - jnp.mean(log_likelihood), each

  both = lambda loss: jax.jit(jax.value_and_grad(loss, 1, has_aux=True))(
    loss_key, vae.init(params_key), BATCH
  )
  with jax.debug_key_reuse(False):
    (value, _), grads = both(loss)
    (truth, each), true_grads = both(by_hand)
  assert np.min(each) < 0.1 < np.max(each)
  np.testing.assert_allclose(value, truth, rtol=1e-5)
  assert_trees_close(grads, true_grads)


@pytest.mark.parametrize(
  'options', [{}, {'free_bits': 0.4}, {'objective': 'iwae'}]
)
def test_a_prior_of_parameters_is_drawn_to_the_posteriors(options, key):
  config = vj.Config(latent_dim=2, hidden_sizes=(8,), **options)
  vae = vj.make_vae(config, (2, 2, 1))._replace(
    prior=lambda params: vj.Normal(params['prior'], 0.0)
  )
  params_key, loss_key = jax.random.split(key)
  params = vae.init(params_key) | {'prior': jnp.full(2, 5.0)}
  descend = jax.jit(
    jax.grad(objectives.make_loss(config, vae), 1, has_aux=True)
  )
  grads, _ = descend(loss_key, params, BATCH)
  assert np.all(grads['prior'] > 1.0)


def test_a_dimension_within_its_free_bits_is_not_pulled_to_the_prior():
  pull = jax.grad(
    lambda loc: vj.free_bits(
      jax.vmap(
        lambda loc: vj.kl_per_dimension(
          vj.Normal(loc, 0.0), vj.Normal(loc * 0, 0.0)
        )
      )(loc),
      0.5,
    )
  )(jnp.array([[0.1, 3.0], [0.2, 2.0]]))
  np.testing.assert_array_equal(pull[:, 0], 0.0)
  assert np.all(pull[:, 1] > 0.1)


@pytest.mark.parametrize(
  ('options', 'metric', 'by_hand'),
  [
    (
      {'objective': 'iwae', 'num_samples': 3, 'estimator': 'dreg'},
      'iw_elbo',
      lambda *a: vj.iw_elbo(*a, num_samples=3, estimator='dreg'),
    ),
    (
      # Of one draw, what either holds is the same.
      {'estimator': 'stl'},
      'elbo',
      lambda *a: vj.iw_elbo(*a, num_samples=1, estimator='stl'),
    ),
    (
      {
        'objective': 'miwae',
        'num_samples': 3,
        'num_groups': 2,
        'estimator': 'vimco',
      },
      'miw_elbo',
      lambda *a: vj.miw_elbo(
        *a, num_samples=3, num_groups=2, estimator='vimco'
      ),
    ),
    (
      {'objective': 'piwae', 'num_samples': 3, 'num_groups': 2},
      'piw_elbo',
      lambda *a: vj.piw_elbo(*a, num_samples=3, num_groups=2),
    ),
    (
      {
        'objective': 'ciwae',
        'num_samples': 3,
        'elbo_weight': 0.4,
        'estimator': 'dreg',
      },
      'ciw_elbo',
      lambda *a: vj.ciw_elbo(
        *a, num_samples=3, elbo_weight=0.4, estimator='dreg'
      ),
    ),
    (
      {'objective': 'renyi', 'num_samples': 3, 'alpha': 0.7},
      'renyi_elbo',
      lambda *a: vj.renyi_elbo(*a, num_samples=3, alpha=0.7),
    ),
  ],
  ids=lambda value: value if isinstance(value, str) else '',
)
def test_flags_choose_the_bound_and_its_gradient(options, metric, by_hand, key):
  vae, loss = small(**options)
  params_key, loss_key = jax.random.split(key)
  params = vae.init(params_key)

  def exact(params):
    keys = jax.random.split(loss_key, len(BATCH))
    one = lambda key, x: by_hand(
      key, vae.encode(params, x), objectives.vae_log_joint(vae, params, x)
    )
    return -jnp.mean(jax.vmap(one)(keys, BATCH))

  with jax.debug_key_reuse(False):
    both = jax.jit(jax.value_and_grad(loss, 1, has_aux=True))
    (found, terms), grads = both(loss_key, params, BATCH)
    value, truth = jax.jit(jax.value_and_grad(exact))(params)
  assert metric == objectives.bound_name(options.get('objective', 'elbo'))
  np.testing.assert_allclose(found, -np.mean(terms[metric]), rtol=1e-5)
  np.testing.assert_allclose(found, value, rtol=1e-5)
  assert_trees_close(grads, truth)
