import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vae_jax as vj
from vae_jax.models.make import make_vae
from vae_jax.training.optimal_sigma import make_refit

VAE = make_vae(
  data_shape=(3,),
  latent_dim=2,
  hidden_sizes=(8,),
  likelihood='normal_optimal',
)
BATCH = jnp.asarray(np.random.RandomState(0).randn(40, 3), jnp.float32)


def narrow(params):
  """Gives q(z|x) a scale near 0, so that every draw of z is its mean."""
  q = params['encoder']['log_scale']
  q = jax.tree.map(jnp.zeros_like, q) | {'bias': jnp.full(2, -30.0)}
  return params | {'encoder': params['encoder'] | {'log_scale': q}}


PARAMS = narrow(jax.jit(VAE.init)(jax.random.key(0)))
REFIT = jax.jit(make_refit(VAE))


def test_sigma_squared_is_the_mean_squared_error_of_the_batch(key):
  fitted = REFIT(key, PARAMS, BATCH)
  reconstruct = lambda x: VAE.decode(PARAMS, VAE.encode(PARAMS, x).loc).mean()
  means = jax.jit(jax.vmap(reconstruct))(BATCH)
  exact = np.mean(np.square(BATCH - means))
  variance = np.exp(2 * fitted['decoder']['log_scale'])
  np.testing.assert_allclose(variance, exact, rtol=1e-5)
  # Examples differ in their error, and no other parameter changes.
  each = np.mean(np.square(BATCH - means), axis=1)
  assert each.std() > 0.1
  left = fitted | {'decoder': dict(fitted['decoder'])}
  left['decoder']['log_scale'] = PARAMS['decoder']['log_scale']
  for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(PARAMS), strict=True):
    np.testing.assert_array_equal(a, b)


def test_fitted_sigma_minimises_the_loss_of_the_batch(key):
  fit_key, key = jax.random.split(key)
  fitted = REFIT(fit_key, PARAMS, BATCH)
  loss = jax.jit(vj.make_loss(VAE))

  def at(shift):
    decoder = fitted['decoder'] | {
      'log_scale': fitted['decoder']['log_scale'] + shift
    }
    with jax.debug_key_reuse(False):
      return float(loss(key, fitted | {'decoder': decoder}, BATCH)[0])

  assert at(0.0) < min(at(-0.05), at(0.05))


@pytest.mark.slow
def test_step_sets_sigma_without_a_gradient_step(key):
  optimizer = optax.sgd(0.1)
  refit = make_refit(VAE)
  step = vj.make_train_step(vj.make_loss(VAE), optimizer, refit=refit)
  with jax.debug_key_reuse(False):
    state, _ = jax.jit(step)(key, vj.init_train_state(PARAMS, optimizer), BATCH)
    wanted = REFIT(jax.random.split(key)[1], PARAMS, BATCH)
  sigma = lambda params: params['decoder']['log_scale']
  np.testing.assert_array_equal(sigma(state.params), sigma(wanted))
  moved = jax.tree.map(
    lambda a, b: np.any(a != b), state.params['encoder'], PARAMS['encoder']
  )
  assert any(jax.tree.leaves(moved))


def test_sigma_of_an_exact_fit_is_finite(key):
  decoder = jax.tree.map(jnp.zeros_like, PARAMS['decoder'])
  params = PARAMS | {'decoder': decoder}
  fitted = REFIT(key, params, jnp.zeros((4, 3)))
  assert np.isfinite(fitted['decoder']['log_scale'])


def test_sigma_uses_one_posterior_sample_per_example(key):
  """The key is split into one per example; z is a sample, not the mean."""
  wide = PARAMS['encoder']['log_scale'] | {'bias': jnp.full(2, 0.5)}
  params = PARAMS | {'encoder': PARAMS['encoder'] | {'log_scale': wide}}

  def by_hand(key):
    def error(key, x):
      z = VAE.encode(params, x).sample(key)
      return jnp.mean((x - VAE.decode(params, z).mean()) ** 2)

    keys = jax.random.split(key, len(BATCH))
    return jnp.mean(jax.vmap(error)(keys, BATCH))

  fitted = REFIT(key, params, BATCH)
  variance = np.exp(2 * fitted['decoder']['log_scale'])
  exact = jax.jit(by_hand)(jax.random.clone(key))
  np.testing.assert_allclose(variance, exact, rtol=1e-4)


def test_sigma_of_a_conditional_vae_reads_the_observed_part(key):
  """The error is that of x, the example being a dict."""
  model = vj.ConditionalVAE(
    init=lambda key: {'decoder': {'log_scale': jnp.zeros(())}},
    encode=lambda p, x, y: vj.Normal(x, jnp.full(2, -30.0)),
    decode=lambda p, z, y: vj.Normal(z + y, p['decoder']['log_scale']),
    prior=lambda p, y: vj.Normal(jnp.zeros(2), jnp.zeros(2)),
  )
  batch = {'x': jnp.ones((2, 2)), 'y': jnp.array([[1.0], [3.0]])}
  fitted = make_refit(model)(key, model.init(None), batch)
  np.testing.assert_allclose(
    np.exp(2 * fitted['decoder']['log_scale']), (1 + 9) / 2, rtol=1e-5
  )
