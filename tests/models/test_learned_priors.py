"""Priors that learn: mixture, VampPrior, RealNVP."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests.distributions.test_bijections import perturb
from tests.helpers import assert_mean
from vae_jax.errors import UserError
from vae_jax.models import PRIORS, make

SIZE, SHAPE = 2, (3,)
EXAMPLES = np.random.RandomState(0).uniform(size=(6, *SHAPE))
OPTIONS = {
  'mixture': {'num_components': 3},
  'vamp': {'num_pseudo_inputs': 4},
  'realnvp': {'prior_depth': 3, 'prior_width': 8},
}


def make_vae(prior, **options):
  return make.make_vae(
    data_shape=SHAPE,
    latent_dim=SIZE,
    hidden_sizes=(4,),
    prior=prior,
    **(OPTIONS[prior] | options),
  )


def test_mixture_starts_with_equal_weights_and_different_components(key):
  prior = make_vae('mixture').prior(make_vae('mixture').init(key))
  np.testing.assert_allclose(jnp.exp(prior.log_weights), np.full(3, 1 / 3))
  loc = prior.components.loc
  assert loc.shape == (3, SIZE)
  assert np.unique(loc).size == loc.size
  np.testing.assert_array_equal(prior.components.log_scale, np.zeros((3, SIZE)))


@pytest.mark.slow
def test_realnvp_starts_at_the_standard_normal_and_can_leave_it(key):
  vae = make_vae('realnvp')
  init_key, draw_key = jax.random.split(key)
  params = vae.init(init_key)
  z = jax.random.normal(draw_key, (SIZE,))
  exact = vj.Normal(jnp.zeros(SIZE), 0.0).log_prob(z)
  np.testing.assert_allclose(vae.prior(params).log_prob(z), exact, rtol=1e-6)
  assert len(vae.prior(params).bijections) == 5
  prior = vae.prior(perturb(params))
  assert abs(prior.log_prob(z) - exact) > 0.01
  # The reversals between couplings let each of them change the other half.
  assert not np.isin(prior.transform(z), z).any()


def test_vamp_is_the_mean_of_the_posteriors_at_the_pseudo_inputs(key):
  vae = make_vae('vamp', data_examples=EXAMPLES)
  init_key, noise_key = jax.random.split(key)
  params = vae.init(init_key)
  inputs = params['prior']['pseudo_inputs']
  np.testing.assert_allclose(inputs, EXAMPLES[:4], rtol=1e-6)
  params = perturb(params)
  z = jax.random.normal(noise_key, (SIZE,))

  @jax.jit
  def program(params):
    log_prob = lambda params: vae.prior(params).log_prob(z)
    clipped = jnp.clip(params['prior']['pseudo_inputs'], 0, 1)
    each = [vae.encode(params, u).log_prob(z) for u in clipped]
    return log_prob(params), jnp.stack(each), jax.grad(log_prob)(params)

  value, each, slope = program(params)
  assert np.any(params['prior']['pseudo_inputs'] > 1)
  exact = np.log(np.mean(np.exp(np.asarray(each, float))))
  np.testing.assert_allclose(value, exact, rtol=1e-5)
  # Straight-through: pixels beyond their bounds are pulled back too.
  assert np.all(slope['prior']['pseudo_inputs'] != 0)
  assert any(np.any(x) for x in jax.tree.leaves(slope['encoder']))


@pytest.mark.slow
@pytest.mark.parametrize('likelihood', ['bernoulli', 'normal'])
def test_vamp_starts_at_random_without_examples(likelihood, key):
  vae = make_vae('vamp', likelihood=likelihood, num_pseudo_inputs=200)
  inputs = vae.init(key)['prior']['pseudo_inputs']
  assert inputs.shape == (200, *SHAPE)
  assert (np.min(inputs) >= 0 and np.max(inputs) <= 1) == (
    likelihood == 'bernoulli'
  )


@pytest.mark.parametrize(
  ('prior', 'options', 'error', 'message'),
  [
    ('vamp', {'num_pseudo_inputs': 7}, UserError, 'got 7, expected at most 6'),
    ('vamp', {'num_pseudo_inputs': 0}, ValueError, 'must be at least 1'),
    ('mixture', {'num_components': 0}, ValueError, 'must be at least 1'),
    ('realnvp', {'prior_depth': 0}, ValueError, 'prior_depth is 0'),
    ('realnvp', {'prior_width': 0}, ValueError, 'prior_width is 0'),
  ],
)
def test_impossible_sizes_are_refused(prior, options, error, message):
  with pytest.raises(error, match=message):
    make_vae(prior, data_examples=EXAMPLES, **options)


def test_only_the_vamp_prior_reads_the_training_examples():
  readers = [n for n, r in PRIORS.items() if 'data_examples' in r.statistics]
  assert readers == ['vamp']


# p(z) a mixture of normals, p(x|z) = N(W z + b, s^2 I): p(x) is a mixture of
# normals, and so is p(z|x).
W = np.array([[1.0, -0.5], [0.3, 0.8], [-0.7, 0.4]])
B, S = np.array([0.2, -0.1, 0.5]), 0.6
PARAMS = {
  'logits': jnp.array([0.4, -1.1, 0.0]),
  'loc': jnp.array([[-1.5, 0.5], [0.8, 1.0], [2.0, -1.0]]),
  'log_scale': jnp.array([[0.0, -0.5], [-0.3, 0.2], [0.1, -0.8]]),
}
X = np.random.RandomState(1).standard_normal((20, 3)).astype(np.float32)


def log_marginals(params, x):
  """Returns log w_m + log p(x|m) of each component, in closed form."""
  log_w = jax.nn.log_softmax(params['logits'])

  def one(loc, log_scale):
    covariance = (W * jnp.exp(2 * log_scale)[None]) @ W.T + S**2 * jnp.eye(3)
    return jax.scipy.stats.multivariate_normal.logpdf(
      x, W @ loc + B, covariance
    )

  return log_w + jax.vmap(one)(params['loc'], params['log_scale'])


def posterior(params, x):
  """Returns p(z|x), a mixture of normals with full covariances."""

  def one(loc, log_scale):
    precision = jnp.diag(jnp.exp(-2 * log_scale)) + W.T @ W / S**2
    covariance = jnp.linalg.inv(precision)
    shift = jnp.exp(-2 * log_scale) * loc + W.T @ (x - B) / S**2
    return vj.MultivariateNormal(
      covariance @ shift, jnp.linalg.cholesky(covariance)
    )

  components = jax.vmap(one)(params['loc'], params['log_scale'])
  return vj.Mixture(log_marginals(params, x), components)


def prior(params):
  return PRIORS['mixture'].head(2, num_components=3).make(params, None)


MODEL = vj.VAE(
  init=lambda key: PARAMS,
  encode=posterior,
  decode=lambda params, z: vj.Normal(W @ z + B, jnp.log(S)),
  prior=prior,
)


@pytest.mark.slow
def test_marginal_of_a_linear_gaussian_model_with_a_mixture_prior(key):
  """All importance weights under the exact posterior are equal to p(x)."""
  w = np.asarray(jax.nn.softmax(PARAMS['logits']), float)
  exact = np.log(
    sum(
      w[m]
      * stats.multivariate_normal(
        W @ PARAMS['loc'][m] + B,
        (W * np.exp(2 * np.asarray(PARAMS['log_scale'][m], float))) @ W.T
        + S**2 * np.eye(3),
      ).pdf(X)
      for m in range(3)
    )
  )
  nll = vj.estimate_nll(key, MODEL, PARAMS, X, num_samples=3)
  np.testing.assert_allclose(-nll.per_example, exact, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_gradient_of_the_bound_in_the_prior_is_that_of_the_marginal():
  """With q = p(z|x) the gradient in the prior is unbiased for every K.

  Five comparisons of arrays: a false alarm as stated in `assert_mean`.
  """
  x = jnp.asarray(X[0])
  marginal = lambda params: jax.nn.logsumexp(log_marginals(params, x))
  exact = jax.jit(jax.grad(marginal))(PARAMS)
  q = jax.jit(posterior)(PARAMS, x)

  @jax.jit
  @jax.vmap
  def gradient(key):
    def bound(params):
      inference = MODEL.condition(params, x)._replace(posterior=q)
      return vj.iw_elbo(key, q, inference.log_joint, num_samples=2)

    return jax.grad(bound)(PARAMS)

  with jax.debug_key_reuse(False):
    found = gradient(jax.random.split(jax.random.key(2), 20_000))
  jax.tree.map(assert_mean, found, exact)
  assert np.abs(exact['logits'][0]) > 0.1


@pytest.mark.slow
def test_the_sandwich_of_a_flow_prior_closes(key):
  """AIS and its reverse agree to 1 nat on data simulated by the model."""
  vae = make.make_vae(
    data_shape=(20,),
    latent_dim=4,
    hidden_sizes=(16,),
    prior='realnvp',
    prior_width=16,
  )
  init_key, ais_key = jax.random.split(key)
  params = perturb(vae.init(init_key), 0.3)
  found = vj.estimate_sandwich(
    ais_key,
    vae,
    params,
    num_examples=40,
    num_chains=4,
    num_temperatures=100,
  )
  assert -0.1 < found.gap.mean < 1
  assert found.gap.standard_error < 0.2
