import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import vae_jax as vj
from tests import helpers
from vae_jax.ais import annealing

VAE = helpers.linear_gaussian(helpers.LOADINGS, helpers.BIAS, helpers.NOISE)
EXACT_Q = {'offset': jnp.zeros(2)}
WRONG_Q = {'offset': jnp.array([0.5, -0.4])}
EVIDENCE = stats.multivariate_normal(
  helpers.BIAS, helpers.evidence_covariance()
)
X = jnp.array([1.2, 0.4, -0.6, 0.5])
EXACT = EVIDENCE.logpdf(X)
SEVEN = {'num_chains': 7, 'num_temperatures': 4, 'num_leapfrog_steps': 2}


def from_posterior(function, key, params, *args, **options):
  """Runs `ais` or `bidirectional_ais` from q(z|x) of X."""
  inference = VAE.condition(params, X)
  return function(
    key, inference.posterior, inference.log_joint, *args, **options
  )


def assert_near(result, exact, num_chains):
  """Within six standard errors, estimated from the weights.

  ESS = C / (1 + cv^2), where cv / sqrt(C) is the relative error of the mean
  weight.
  """
  ess = np.asarray(result.effective_sample_size, np.float64)
  error = np.sqrt((num_chains / ess - 1) / num_chains)
  assert np.all(error < 0.1)
  ratio = np.exp(np.asarray(result.log_marginal, np.float64) - exact)
  z = np.abs(ratio - 1) / (error + 1e-5)
  assert np.all(z < helpers.SIGMAS), f'z = {z}'


@pytest.fixture
def fixed_step_sizes(monkeypatch):
  """Skips the preliminary run, a third of the program to compile."""
  find = lambda key, path, z, betas, **options: jnp.full_like(betas, 0.5)
  monkeypatch.setattr(annealing, 'find_step_sizes', find)


@pytest.mark.parametrize('schedule', [vj.linear_schedule, vj.sigmoid_schedule])
@pytest.mark.parametrize('num_temperatures', [2, 3, 100])
def test_schedule_rises_from_0_to_1(schedule, num_temperatures):
  betas = schedule(num_temperatures)
  assert betas.shape == (num_temperatures,)
  assert betas[0] == 0
  assert betas[-1] == 1
  assert np.all(np.diff(betas) > 0)
  np.testing.assert_allclose(betas + betas[::-1], 1, atol=1e-12)


def test_schedules_equal_those_of_the_papers():
  np.testing.assert_allclose(vj.linear_schedule(5), [0, 0.25, 0.5, 0.75, 1])
  sigma = lambda a: 1 / (1 + np.exp(-a))
  quarter = (sigma(-2) - sigma(-4)) / (sigma(4) - sigma(-4))
  np.testing.assert_allclose(
    vj.sigmoid_schedule(5), [0, quarter, 0.5, 1 - quarter, 1]
  )


@functools.cache
def log_weights(initial):
  """Log w of 3000 single chains, and log w of 3000 reverse chains."""
  options = {'num_temperatures': 5, 'num_leapfrog_steps': 3, 'num_chains': 1}
  inference = VAE.condition(WRONG_Q, X)
  posterior = VAE.encode(EXACT_Q, X)
  if initial == 'prior':
    start, ratio = inference.prior, inference.log_likelihood
  else:
    start, ratio = inference.posterior, None

  def pair(key):
    z_key, key = jax.random.split(key)
    results = vj.bidirectional_ais(
      key,
      start,
      inference.log_joint,
      vj.sample(z_key, posterior),
      log_ratio=ratio,
      **options,
    )
    return [result.log_marginal for result in results]

  keys = jax.random.split(jax.random.key(5), 3000)
  return [np.float64(v) for v in jax.jit(jax.vmap(pair))(keys)]


@pytest.mark.slow
@pytest.mark.parametrize('initial', ['prior', 'posterior'])
def test_mean_weight_is_the_marginal_likelihood(initial):
  """Unbiased for any number of temperatures."""
  forward, _ = log_weights(initial)
  assert np.std(forward) > 0.3
  helpers.assert_mean(np.exp(forward - EXACT), 1)


@pytest.mark.slow
@pytest.mark.parametrize('initial', ['prior', 'posterior'])
def test_forward_and_reverse_weights_obey_the_fluctuation_theorem(initial):
  """P_R(w) = P_F(w) w / p(x), so that E_R[1 / (1 + v)] = E_F[v / (1 + v)].

  v = w / p(x): Crooks 2000, Path-ensemble averages, eq. (9). Both are means of
  bounded variables; 1 / w has heavy tails, and its standard error is unknown.
  """
  forward, reverse = (special.expit(v - EXACT) for v in log_weights(initial))
  assert np.std(reverse) > 0.05
  helpers.assert_mean(forward - (1 - reverse), 0)


def test_reverse_chains_use_the_same_kernels_in_reverse_order(key, monkeypatch):
  """A temperature keeps its step size; the rate is a mean over transitions.

  0.5 within six standard errors of 800 values per direction.
  """
  paired = lambda key, path, z, betas, **options: 1 + betas

  def transition(key, path, state, *, beta, step_size, num_leapfrog_steps):
    right = step_size == 1 + beta
    return state, jnp.where(right, jax.random.uniform(key), jnp.nan)

  monkeypatch.setattr(annealing, 'find_step_sizes', paired)
  monkeypatch.setattr(annealing, 'hmc_transition', transition)
  run = functools.partial(
    from_posterior, vj.bidirectional_ais, **(SEVEN | {'num_chains': 400})
  )
  for result in jax.jit(run)(key, WRONG_Q, jnp.zeros(2)):
    error = np.sqrt(1 / 12 / 800)
    assert abs(result.acceptance_rate - 0.5) < helpers.SIGMAS * error


def test_every_weight_is_exact_from_the_posterior(key, fixed_step_sizes):
  """If p_0 is p(z|x), each weight is p(x), whatever the path of the chain."""
  run = functools.partial(from_posterior, vj.bidirectional_ais, **SEVEN)
  for result in jax.jit(run)(key, EXACT_Q, jnp.array([0.1, -0.7])):
    np.testing.assert_allclose(result.log_marginal, EXACT, rtol=1e-5)
    np.testing.assert_allclose(result.effective_sample_size, 7, rtol=1e-4)
    assert 0 < result.acceptance_rate < 1


def test_two_temperatures_are_importance_sampling(key):
  inference = VAE.condition(WRONG_Q, X)
  run = functools.partial(
    vj.ais,
    initial=inference.prior,
    log_joint=inference.log_joint,
    num_chains=3000,
    num_temperatures=2,
  )
  result = jax.jit(run)(key)
  assert_near(result, EXACT, 3000)
  assert np.isnan(result.acceptance_rate)


@pytest.mark.slow
def test_non_gaussian_prior_and_nonlinear_decoder_against_quadrature(key):
  weights = jnp.array([1.5, -2.0, 0.7])
  x = jnp.array([1.0, 0.0, 1.0])
  prior = vj.Laplace(jnp.array([0.3]), -0.2)
  decode = lambda z: vj.Bernoulli(weights * jnp.sin(2 * z[0]) + z[0])
  log_joint = lambda z: decode(z).log_prob(x) + prior.log_prob(z)
  grid = np.linspace(-40, 40, 40_001)
  values = np.asarray(jax.jit(jax.vmap(log_joint))(jnp.asarray(grid)[:, None]))
  exact = np.log(np.sum(np.exp(values.astype(np.float64))) * np.diff(grid)[0])
  run = functools.partial(
    vj.ais,
    initial=prior,
    log_joint=log_joint,
    num_chains=1000,
    num_temperatures=8,
  )
  assert_near(jax.jit(run)(key), exact, 1000)


@pytest.mark.slow
def test_batch_size_does_not_change_the_result(
  key, fixed_step_sizes, monkeypatch
):
  """Seven chains at once, and three at a time."""
  weigh = lambda key, path, state, *options: (
    path.log_ratio(state.z) + jax.random.uniform(key),
    jax.random.uniform(jax.random.fold_in(key, 1)),
  )
  monkeypatch.setattr(annealing, '_weigh', weigh)
  run = functools.partial(from_posterior, vj.ais, **SEVEN)
  with jax.debug_key_reuse(False):
    whole = jax.jit(run)(key, WRONG_Q)
    parts = jax.jit(functools.partial(run, batch_size=3))(key, WRONG_Q)
  assert whole.effective_sample_size < 6.9
  close = functools.partial(np.testing.assert_allclose, rtol=1e-4)
  jax.tree.map(close, whole, parts)


@pytest.mark.slow
def test_a_dict_of_latents_is_moved_as_one_vector(key, fixed_step_sizes):
  """A Chain of two independent latents, from the exact posterior of both."""
  posterior = VAE.encode(EXACT_Q, X)
  parts = {
    f'z{i}': vj.Normal(posterior.loc[i : i + 1], posterior.log_scale[i])
    for i in range(2)
  }
  log_joint = lambda z: VAE.condition(EXACT_Q, X).log_joint(
    jnp.concatenate([z['z0'], z['z1']])
  )
  run = functools.partial(vj.ais, log_joint=log_joint, **SEVEN)
  result = jax.jit(run)(key, vj.Chain(**parts))
  np.testing.assert_allclose(result.log_marginal, EXACT, rtol=1e-5)
  assert 0 < result.acceptance_rate < 1


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'num_chains': 0}, 'num_chains is 0'),
    ({'num_temperatures': 1}, 'num_temperatures is 1: must be at least 2'),
    ({'num_leapfrog_steps': 0}, 'num_leapfrog_steps is 0'),
    ({'schedule': lambda t: np.linspace(0.1, 1, t)}, 'from 0 to 1'),
    ({'schedule': lambda t: np.linspace(0, 0.9, t)}, 'from 0 to 1'),
    ({'schedule': lambda t: np.linspace(0, 1, t + 1)}, 'expected 4 numbers'),
    ({'schedule': lambda t: np.array([0, 0.6, 0.4, 1])}, 'that rise'),
  ],
)
def test_invalid_options_raise(options, message, key):
  options = {'num_chains': 2, 'num_temperatures': 4} | options
  run = functools.partial(from_posterior, vj.ais, params=WRONG_Q, **options)
  with pytest.raises(ValueError, match=message):
    jax.eval_shape(run, key)


def test_posterior_sample_of_another_shape_raises(key):
  with pytest.raises(ValueError, match='posterior_sample has shape'):
    from_posterior(vj.bidirectional_ais, key, EXACT_Q, jnp.zeros(3), **SEVEN)


def test_log_joint_that_is_not_a_scalar_raises(key):
  run = functools.partial(
    vj.ais, initial=VAE.prior(None), log_joint=lambda z: z, **SEVEN
  )
  with pytest.raises(AssertionError, match='rank'):
    jax.eval_shape(run, key)


@pytest.mark.parametrize('where', ['array', 'chain', 'numpyro'])
def test_discrete_latents_raise(where, key):
  discrete = vj.Bernoulli(jnp.zeros(2))
  if where == 'chain':
    discrete = vj.Chain(a=vj.Normal(jnp.zeros(1), 0.0), b=discrete)
  if where == 'numpyro':
    numpyro = pytest.importorskip('numpyro.distributions')
    discrete = vj.from_numpyro(numpyro.Poisson(jnp.ones(2)))
  with pytest.raises(TypeError, match='is discrete'):
    vj.ais(key, discrete, lambda z: 0.0, **SEVEN)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['gamma', 'beta'])
def test_bounded_supports_have_exact_marginals_and_moving_chains(name, key):
  """Exponential x of gamma rates, and bits of beta probabilities.

  Chains move in log z and logit z: in z itself a step out of the support is
  rejected, and the acceptance falls below one half.
  """
  if name == 'gamma':
    a, rate, x = 0.6, 2.0, np.array([0.3, 0.02, 4.0])
    prior = vj.Gamma(jnp.full(3, a), jnp.full(3, np.log(rate)))
    log_likelihood = lambda z: vj.Exponential(jnp.log(z)).log_prob(jnp.array(x))
    exact = np.sum(np.log(a * rate**a) - (a + 1) * np.log(rate + x))
  else:
    a, b = np.array([0.4, 3.0]), np.array([0.7, 1.0])
    prior = vj.Beta(jnp.array(a), jnp.array(b))
    # Six ones and one zero of each probability.
    log_likelihood = lambda z: jnp.sum(6 * jnp.log(z) + jnp.log1p(-z))
    exact = np.sum(special.betaln(a + 6, b + 1) - special.betaln(a, b))
  options = {'num_chains': 64, 'num_temperatures': 40}
  run = lambda key: vj.ais(
    key,
    prior,
    lambda z: log_likelihood(z) + prior.log_prob(z),
    log_ratio=log_likelihood,
    num_leapfrog_steps=5,
    **options,
  )
  found = jax.jit(run)(key)
  assert_near(found, exact, 64)
  assert found.acceptance_rate > 0.5
