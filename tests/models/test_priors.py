import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from vae_jax.models import PRIORS, make
from vae_jax.models.priors import Prior, PriorHead

FAMILIES = {
  'normal': vj.Normal,
  'laplace': vj.Laplace,
  'logistic': vj.Logistic,
  'gamma': vj.Gamma,
  'beta': vj.Beta,
  'bernoulli': vj.Bernoulli,
  'categorical': vj.Categorical,
  'mixture': vj.Mixture,
  'vamp': vj.Mixture,
  'realnvp': vj.Transformed,
}
STANDARD = ('normal', 'laplace', 'logistic', 'bernoulli')


def test_table_of_priors_is_complete():
  assert set(PRIORS) == set(FAMILIES)


@pytest.mark.parametrize('name', STANDARD)
def test_prior_has_location_zero_and_scale_one(name):
  head = PRIORS[name].head(3)
  prior = head.make({}, None)
  assert type(prior) is FAMILIES[name]
  assert prior.shape == (3,)
  np.testing.assert_allclose(prior.mean(), 0.5 if name == 'bernoulli' else 0.0)
  for parameter in jax.tree.leaves(prior):
    np.testing.assert_array_equal(parameter, np.zeros(3))
  assert head.init(jax.random.key(0)) == {}


@pytest.mark.slow
def test_priors_of_other_supports_are_standard():
  z = jnp.array([0.2, 0.5, 0.9])
  for name, exact in (('gamma', stats.gamma(1)), ('beta', stats.beta(1, 1))):
    found = PRIORS[name].head(3).make({}, None).log_prob(z)
    np.testing.assert_allclose(found, exact.logpdf(z).sum(), atol=1e-6)
  labels = PRIORS['categorical'].head(3, num_categories=4).make({}, None)
  found = labels.log_prob(jnp.array([0, 3, 1]))
  np.testing.assert_allclose(found, -3 * np.log(4), rtol=1e-6)


LEARNED = Prior(
  'normal (learned)',
  lambda size: PriorHead(
    lambda params, _: vj.Normal(params['loc'], params['log_scale']),
    lambda key: {
      'loc': jax.random.normal(key, (size,)),
      'log_scale': jnp.zeros(size),
    },
  ),
)


def test_learned_prior_has_initial_parameters_and_a_gradient(monkeypatch, key):
  """A row of `PRIORS` with `init` adds the entry 'prior' to params."""
  monkeypatch.setitem(PRIORS, 'learned', LEARNED)
  vae = make.make_vae(
    data_shape=(4,), latent_dim=3, hidden_sizes=(), prior='learned'
  )
  init_key, loss_key = jax.random.split(key)
  params = jax.jit(vae.init)(init_key)
  assert set(params) == {'encoder', 'decoder', 'prior'}
  prior = vae.prior(params)
  np.testing.assert_array_equal(prior.loc, params['prior']['loc'])
  # Its key is independent of the keys of the networks.
  prior_key = jax.random.split(
    jax.random.split(jax.random.clone(init_key), 3)[2], 3
  )[2]
  np.testing.assert_allclose(
    prior.loc, jax.random.normal(prior_key, (3,)), rtol=1e-6
  )

  def kl_of(params):
    loss = vj.make_loss(vae)
    return jnp.mean(loss(loss_key, params, jnp.ones((2, 4)))[1]['kl'])

  grads = jax.jit(jax.grad(kl_of))(params)['prior']
  q = jax.vmap(vae.encode, (None, 0))(params, jnp.ones((2, 4)))
  # d KL / d loc of N(m, s^2) || N(loc, 1) is loc - m.
  exact = prior.loc - np.mean(q.loc, axis=0)
  np.testing.assert_allclose(grads['loc'], exact, rtol=1e-4, atol=1e-5)


def test_fixed_prior_adds_no_parameters(key):
  vae = make.make_vae(data_shape=(4,), latent_dim=3, hidden_sizes=())
  assert set(jax.eval_shape(vae.init, key)) == {'encoder', 'decoder'}
