import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj

X, Y = jnp.array([0.5, -1.0, 0.2]), jnp.array([2.0])
PARAMS = {'w': jnp.float32(0.7)}

PLAIN = vj.VAE(
  init=lambda key: PARAMS,
  encode=lambda p, x: vj.Normal(p['w'] * x[:2], jnp.zeros(2)),
  decode=lambda p, z: vj.Normal(p['w'] * jnp.append(z, 0.0), jnp.zeros(3)),
  prior=lambda p: vj.Normal(p['w'] * jnp.ones(2), jnp.zeros(2)),
)
CONDITIONAL = vj.ConditionalVAE(
  init=lambda key: PARAMS,
  encode=lambda p, x, y: vj.Normal(p['w'] * x[:2] + y, jnp.zeros(2)),
  decode=lambda p, z, y: vj.Normal(
    p['w'] * jnp.append(z, 0.0) * y, jnp.zeros(3)
  ),
  prior=lambda p, y: vj.Normal(p['w'] + y * jnp.ones(2), jnp.zeros(2)),
)
# Model, example, then the locations of q, p(z) and p(x|z) at z = (1, -1).
CASES = [
  (PLAIN, X, [0.35, -0.7], [0.7, 0.7], [0.7, -0.7, 0.0]),
  (
    CONDITIONAL,
    {'x': X, 'y': Y},
    [2.35, 1.3],
    [2.7, 2.7],
    [1.4, -1.4, 0.0],
  ),
]
Z = jnp.array([1.0, -1.0])


@pytest.mark.parametrize(
  ('model', 'example', 'q_loc', 'prior_loc', 'x_loc'),
  CASES,
  ids=['VAE', 'ConditionalVAE'],
)
def test_condition_binds_parameters_and_example(
  model, example, q_loc, prior_loc, x_loc
):
  assert isinstance(model, vj.LatentModel)
  inference = model.condition(PARAMS, example)
  assert isinstance(inference, vj.Inference)
  np.testing.assert_allclose(inference.posterior.loc, q_loc, rtol=1e-6)
  np.testing.assert_allclose(inference.prior.loc, prior_loc, rtol=1e-6)
  np.testing.assert_allclose(inference.likelihood(Z).loc, x_loc, rtol=1e-6)
  np.testing.assert_array_equal(inference.x, X)
  log_likelihood = stats.norm.logpdf(X, x_loc).sum()
  log_prior = stats.norm.logpdf(Z, prior_loc).sum()
  np.testing.assert_allclose(
    inference.log_likelihood(Z), log_likelihood, rtol=1e-5
  )
  np.testing.assert_allclose(
    inference.log_joint(Z), log_likelihood + log_prior, rtol=1e-5
  )


def test_conditional_vae_trains_on_batches_of_dicts():
  """Each example is paired with its own y."""
  batch = {'x': jnp.stack([X, 2 * X]), 'y': jnp.stack([Y, -Y])}
  loss = vj.make_loss(CONDITIONAL, form='kl')
  value, terms = jax.jit(loss)(jax.random.key(0), PARAMS, batch)
  for i, y in enumerate((Y, -Y)):
    miss = 0.7 * (1 + i) * X[:2] + y - (0.7 + y)
    np.testing.assert_allclose(
      terms['kl'][i], 0.5 * jnp.sum(miss**2), rtol=1e-5
    )
  np.testing.assert_allclose(value, -np.mean(terms['elbo']), rtol=1e-6)


def test_any_object_with_init_and_condition_is_a_latent_model():
  class Model:
    def init(self, key):
      return PARAMS

    def condition(self, params, example):
      return PLAIN.condition(params, example)

  assert isinstance(Model(), vj.LatentModel)
  assert not isinstance(object(), vj.LatentModel)
  losses = [
    jax.jit(vj.make_loss(model))(jax.random.key(0), PARAMS, X[None])[0]
    for model in (Model(), PLAIN)
  ]
  assert losses[0] == losses[1]
