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
WIDE_OF_IT = {'offset': jnp.array([0.5, -0.4])}
EVIDENCE = stats.multivariate_normal(
  helpers.BIAS, helpers.evidence_covariance()
)
X = jnp.array([1.2, 0.4, -0.6, 0.5])
EXACT = EVIDENCE.logpdf(X)

lower = functools.partial(vj.ais, vae=VAE, params=WIDE_OF_IT, x=X)
SEVEN = {
  'num_chains': 7,
  'num_temperatures': 4,
  'num_leapfrog_steps': 2,
  'initial': VAE.encode,
}
# Compiled once for several tests.
seven = jax.jit(functools.partial(vj.ais, vae=VAE, **SEVEN))


def assert_near(result, exact, num_chains):
  """Within six standard errors, as the weights themselves measure them.

  ESS = C / (1 + cv^2), where cv / sqrt(C) is the relative error of the mean
  weight.
  """
  ess = np.asarray(result.effective_sample_size, np.float64)
  error = np.sqrt((num_chains / ess - 1) / num_chains)
  assert np.all(error < 0.1)
  ratio = np.exp(np.asarray(result.log_marginal, np.float64) - exact)
  z = np.abs(ratio - 1) / (error + 1e-5)
  assert np.all(z < helpers.SIGMAS), f'z = {z}'


@pytest.mark.parametrize('schedule', [vj.linear_schedule, vj.sigmoid_schedule])
@pytest.mark.parametrize('num_temperatures', [2, 3, 100])
def test_a_schedule_rises_from_0_to_1(schedule, num_temperatures):
  betas = schedule(num_temperatures)
  assert betas.shape == (num_temperatures,)
  assert betas[0] == 0
  assert betas[-1] == 1
  assert np.all(np.diff(betas) > 0)
  np.testing.assert_allclose(betas + betas[::-1], 1, atol=1e-12)


def test_schedules_are_those_of_the_papers():
  np.testing.assert_allclose(vj.linear_schedule(5), [0, 0.25, 0.5, 0.75, 1])
  sigma = lambda a: 1 / (1 + np.exp(-a))
  quarter = (sigma(-2) - sigma(-4)) / (sigma(4) - sigma(-4))
  np.testing.assert_allclose(
    vj.sigmoid_schedule(5), [0, quarter, 0.5, 1 - quarter, 1]
  )


@functools.cache
def log_weights(start):
  """Of 4000 single chains each way: log w, and log w of those in reverse."""
  options = {
    'num_temperatures': 5,
    'num_leapfrog_steps': 3,
    'num_chains': 1,
    'initial': None if start == 'prior' else VAE.encode,
  }

  def pair(key):
    z_key, key = jax.random.split(key)
    z = vj.sample(z_key, VAE.encode(EXACT_Q, X))
    results = vj.bidirectional_ais(key, VAE, WIDE_OF_IT, X, z, **options)
    return [result.log_marginal for result in results]

  keys = jax.random.split(jax.random.key(5), 4000)
  return [np.float64(v) for v in jax.jit(jax.vmap(pair))(keys)]


@pytest.mark.parametrize('start', ['prior', 'q'])
def test_the_mean_weight_is_the_marginal(start):
  """Unbiased however few the temperatures: a wrong weight shows."""
  forward, _ = log_weights(start)
  assert np.std(forward) > 0.3
  helpers.assert_mean(np.exp(forward - EXACT), 1)


@pytest.mark.parametrize('start', ['prior', 'q'])
def test_both_ways_obey_the_fluctuation_theorem(start):
  """P_R(w) = P_F(w) w / p(x), so that E_R[1 / (1 + v)] = E_F[v / (1 + v)].

  v = w / p(x): Crooks 2000, Path-ensemble averages, eq. (9). Both means are of
  bounded numbers; that of 1 / w has tails that no error bar tells.
  """
  forward, reverse = (special.expit(v - EXACT) for v in log_weights(start))
  assert np.std(reverse) > 0.05
  helpers.assert_mean(forward - (1 - reverse), 0)


def test_reverse_chains_go_through_the_same_kernels(key, monkeypatch):
  """A temperature keeps its step size; the rate is a mean over all moves.

  0.5 within six standard errors, of 800 numbers each way.
  """
  paired = lambda key, path, z, betas, **options: 1 + betas

  def transition(key, path, point, *, beta, step_size, num_leapfrog_steps):
    right = step_size == 1 + beta
    return point, jnp.where(right, jax.random.uniform(key), jnp.nan)

  monkeypatch.setattr(annealing, 'find_step_sizes', paired)
  monkeypatch.setattr(annealing, 'hmc_transition', transition)
  options = SEVEN | {'num_chains': 400}
  for result in vj.bidirectional_ais(
    key, VAE, WIDE_OF_IT, X, jnp.zeros(2), **options
  ):
    error = np.sqrt(1 / 12 / 800)
    assert abs(result.acceptance_rate - 0.5) < helpers.SIGMAS * error


def test_from_the_posterior_every_chain_is_exact(key):
  """Where p_0 is p(z|x), each weight is p(x), wherever the chain goes."""
  lower_key, both_key = jax.random.split(key)
  both = jax.jit(functools.partial(vj.bidirectional_ais, vae=VAE, **SEVEN))
  z = jnp.array([0.1, -0.7])
  for result in (
    seven(lower_key, params=EXACT_Q, x=X),
    *both(both_key, params=EXACT_Q, x=X, posterior_sample=z),
  ):
    np.testing.assert_allclose(result.log_marginal, EXACT, rtol=1e-5)
    np.testing.assert_allclose(result.effective_sample_size, 7, rtol=1e-4)
    assert 0 < result.acceptance_rate < 1


def test_two_temperatures_are_importance_sampling(key):
  run = functools.partial(lower, num_chains=3000, num_temperatures=2)
  result = jax.jit(run)(key)
  assert_near(result, EXACT, 3000)
  assert np.isnan(result.acceptance_rate)


@pytest.mark.parametrize('family', [vj.Laplace, vj.Logistic])
def test_other_priors_against_quadrature(family, key):
  """One latent, a decoder that is not linear, ones and zeros."""
  weights = jnp.array([1.5, -2.0, 0.7])
  x = jnp.array([1.0, 0.0, 1.0])
  vae = vj.VAE(
    init=lambda key: {},
    encode=lambda params, x: vj.Normal(jnp.zeros(1), 0.0),
    decode=lambda params, z: vj.Bernoulli(weights * jnp.sin(2 * z[0]) + z[0]),
    prior=lambda params: family(jnp.array([0.3]), -0.2),
  )
  grid = np.linspace(-40, 40, 40_001)
  log_joint = lambda z: (
    vae.decode(None, z).log_prob(x) + vae.prior(None).log_prob(z)
  )
  values = np.asarray(jax.jit(jax.vmap(log_joint))(jnp.asarray(grid)[:, None]))
  exact = np.log(np.sum(np.exp(values.astype(np.float64))) * np.diff(grid)[0])
  run = functools.partial(
    vj.ais, vae=vae, params={}, x=x, num_chains=1000, num_temperatures=8
  )
  assert_near(jax.jit(run)(key), exact, 1000)


def test_compiled_or_not_in_blocks_or_not(key, monkeypatch):
  """Seven chains at once, and three at a time."""
  with jax.debug_key_reuse(False):
    compiled = seven(key, params=WIDE_OF_IT, x=X)
    again = seven(key, params=WIDE_OF_IT, x=X)
    monkeypatch.setattr(annealing, '_CHUNK_FLOATS', 4 * 3)
    plain = seven.__wrapped__(key, params=WIDE_OF_IT, x=X)
  jax.tree.map(np.testing.assert_array_equal, compiled, again)
  close = functools.partial(np.testing.assert_allclose, rtol=1e-4)
  jax.tree.map(close, compiled, plain)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'num_chains': 0}, 'num_chains is 0'),
    ({'num_temperatures': 1}, 'num_temperatures is 1: must be at least 2'),
    ({'num_leapfrog_steps': 0}, 'num_leapfrog_steps is 0'),
    ({'schedule': lambda t: np.linspace(0.1, 1, t)}, 'from 0 to 1'),
    ({'schedule': lambda t: np.linspace(0, 0.9, t)}, 'from 0 to 1'),
    ({'schedule': lambda t: np.linspace(0, 1, t + 1)}, 'in 4 numbers'),
    ({'schedule': lambda t: np.array([0, 0.6, 0.4, 1])}, 'to rise'),
  ],
)
def test_impossible_runs_are_refused(options, message, key):
  options = {'num_chains': 2, 'num_temperatures': 4} | options
  with pytest.raises(ValueError, match=message):
    lower(key, **options)


def test_a_posterior_sample_of_another_shape_is_refused(key):
  with pytest.raises(ValueError, match='posterior_sample has shape'):
    vj.bidirectional_ais(key, VAE, EXACT_Q, X, jnp.zeros(3), **SEVEN)


@pytest.mark.parametrize('where', ['prior', 'initial', 'foreign'])
def test_discrete_latents_are_refused(where, key):
  discrete = vj.Bernoulli(jnp.zeros(2))
  if where == 'foreign':
    numpyro = pytest.importorskip('numpyro.distributions')
    discrete = vj.from_numpyro(numpyro.Poisson(jnp.ones(2)))
  options = {'num_chains': 2, 'num_temperatures': 4}
  vae = VAE._replace(prior=lambda params: discrete)
  if where == 'initial':
    vae, options['initial'] = VAE, lambda params, x: discrete
  with pytest.raises(TypeError, match='is discrete'):
    vj.ais(key, vae, WIDE_OF_IT, X, **options)
