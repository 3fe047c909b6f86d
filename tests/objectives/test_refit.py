import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vae_jax as vj
from vae_jax.objectives import make_loss, make_refit

SMALL = {'latent_dim': 2, 'hidden_sizes': (8,)}
OPTIMAL = vj.Config(likelihood='normal_optimal', **SMALL)
VAE = vj.make_vae(OPTIMAL, (3,))
BATCH = jnp.asarray(np.random.RandomState(0).randn(40, 3), jnp.float32)


def narrow(params):
  """Lets q(z|x) have no spread, so that every draw of z is its mean."""
  q = params['encoder']['log_scale']
  q = jax.tree.map(jnp.zeros_like, q) | {'bias': jnp.full(2, -30.0)}
  return params | {'encoder': params['encoder'] | {'log_scale': q}}


PARAMS = narrow(VAE.init(jax.random.key(0)))


def test_sigma_squared_is_the_mean_squared_error_of_the_batch(key):
  fitted = make_refit(OPTIMAL, VAE)(key, PARAMS, BATCH)
  z = jax.vmap(lambda x: VAE.encode(PARAMS, x).mean())(BATCH)
  means = jax.vmap(lambda z: VAE.decode(PARAMS, z).mean())(z)
  exact = np.mean(np.square(BATCH - means))
  variance = np.exp(2 * fitted['decoder']['log_scale'])
  np.testing.assert_allclose(variance, exact, rtol=1e-5)
  # Each x has an error of its own, and nothing else changes.
  each = np.mean(np.square(BATCH - means), axis=1)
  assert each.std() > 0.1
  left = fitted | {'decoder': dict(fitted['decoder'])}
  left['decoder']['log_scale'] = PARAMS['decoder']['log_scale']
  for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(PARAMS), strict=True):
    np.testing.assert_array_equal(a, b)


def test_no_sigma_is_better_for_the_batch(key):
  fit_key, key = jax.random.split(key)
  fitted = make_refit(OPTIMAL, VAE)(fit_key, PARAMS, BATCH)
  loss = make_loss(OPTIMAL, VAE)

  def at(shift):
    decoder = fitted['decoder'] | {
      'log_scale': fitted['decoder']['log_scale'] + shift
    }
    with jax.debug_key_reuse(False):
      return float(loss(key, fitted | {'decoder': decoder}, BATCH)[0])

  assert at(0.0) < min(at(-0.05), at(0.05))


def test_a_step_sets_sigma_and_leaves_its_gradient_alone(key):
  optimizer = optax.sgd(0.1)
  refit = make_refit(OPTIMAL, VAE)
  step = vj.make_train_step(make_loss(OPTIMAL, VAE), optimizer, refit=refit)
  with jax.debug_key_reuse(False):
    state, _ = step(key, vj.init_train_state(PARAMS, optimizer), BATCH)
    wanted = refit(jax.random.split(key)[1], PARAMS, BATCH)
  sigma = lambda params: params['decoder']['log_scale']
  np.testing.assert_array_equal(sigma(state.params), sigma(wanted))
  moved = jax.tree.map(
    lambda a, b: np.any(a != b), state.params['encoder'], PARAMS['encoder']
  )
  assert any(jax.tree.leaves(moved))


def test_an_exact_fit_stays_finite(key):
  decoder = jax.tree.map(jnp.zeros_like, PARAMS['decoder'])
  params = PARAMS | {'decoder': decoder}
  fitted = make_refit(OPTIMAL, VAE)(key, params, jnp.zeros((4, 3)))
  assert np.isfinite(fitted['decoder']['log_scale'])


@pytest.mark.parametrize('likelihood', ['bernoulli', 'normal', 'normal_fixed'])
def test_no_other_likelihood_is_set(likelihood):
  assert make_refit(vj.Config(likelihood=likelihood), VAE) is None
