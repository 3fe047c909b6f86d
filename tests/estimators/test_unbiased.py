"""Every estimator against the exact derivative, family by family.

The exact derivatives are central differences of E[f] = int_0^1 f(F^-1(u)) du,
by tanh-sinh quadrature in float64. A comparison fails at 6 measured standard
errors (p = 2e-9); the 400 or so of this file fail a correct library less than
once in a million runs.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests.helpers import SIGMAS

DRAWS = 100_000


def tanh_sinh():
  t = np.arange(-3.4, 3.4, 0.01)
  inner = 0.5 * np.pi * np.sinh(t)
  weight = 0.25 * np.pi * np.cosh(t) / np.cosh(inner) ** 2 * 0.01
  # From the nearer end, so that neither tail is rounded away.
  end = 1 / (1 + np.exp(2 * np.abs(inner)))
  return end, inner > 0, weight


END, UPPER, WEIGHT = tanh_sinh()

SQUARE = lambda x: jnp.square(x - 1.5)
BELL = lambda x: jnp.exp(-jnp.square(x))
WAVE = lambda x: jnp.cos(2 * x)
SLOPE = lambda x: jnp.tanh(x - 0.5)
LIGHT, HEAVY = (SQUARE, BELL, WAVE), (BELL, SLOPE)

exp = np.exp
# name -> distribution, parameters, frozen scipy distribution, costs
FAMILIES = {
  'normal': (
    vj.Normal,
    {'loc': 0.4, 'log_scale': -0.3},
    lambda loc, log_scale: stats.norm(loc, exp(log_scale)),
    LIGHT,
  ),
  'laplace': (
    vj.Laplace,
    {'loc': 0.4, 'log_scale': -0.3},
    lambda loc, log_scale: stats.laplace(loc, exp(log_scale)),
    LIGHT,
  ),
  'logistic': (
    vj.Logistic,
    {'loc': 0.4, 'log_scale': -0.8},
    lambda loc, log_scale: stats.logistic(loc, exp(log_scale)),
    LIGHT,
  ),
  'gumbel': (
    vj.Gumbel,
    {'loc': 0.4, 'log_scale': -0.5},
    lambda loc, log_scale: stats.gumbel_r(loc, exp(log_scale)),
    LIGHT,
  ),
  'student_t': (
    vj.StudentT,
    {'df': 2.5, 'loc': 0.4, 'log_scale': -0.3},
    lambda df, loc, log_scale: stats.t(df, loc, exp(log_scale)),
    HEAVY,
  ),
  'cauchy': (
    vj.Cauchy,
    {'loc': 0.4, 'log_scale': -0.3},
    lambda loc, log_scale: stats.cauchy(loc, exp(log_scale)),
    HEAVY,
  ),
  'exponential': (
    vj.Exponential,
    {'log_rate': 0.3},
    lambda log_rate: stats.expon(scale=exp(-log_rate)),
    LIGHT,
  ),
  'weibull': (
    vj.Weibull,
    {'concentration': 1.7, 'log_scale': 0.2},
    lambda concentration, log_scale: stats.weibull_min(
      concentration, scale=exp(log_scale)
    ),
    LIGHT,
  ),
  'rayleigh': (
    vj.Rayleigh,
    {'log_scale': -0.4},
    lambda log_scale: stats.rayleigh(scale=exp(log_scale)),
    LIGHT,
  ),
  'log_normal': (
    vj.LogNormal,
    {'loc': 0.6, 'log_scale': -0.7},
    lambda loc, log_scale: stats.lognorm(exp(log_scale), scale=exp(loc)),
    LIGHT,
  ),
  'pareto': (
    vj.Pareto,
    {'concentration': 2.2, 'log_scale': -0.6},
    lambda concentration, log_scale: stats.pareto(
      concentration, scale=exp(log_scale)
    ),
    HEAVY,
  ),
  'uniform': (
    vj.Uniform,
    {'low': -0.5, 'high': 1.3},
    lambda low, high: stats.uniform(low, high - low),
    LIGHT,
  ),
  'gamma': (
    vj.Gamma,
    {'concentration': 1.8, 'log_rate': 0.7},
    lambda concentration, log_rate: stats.gamma(
      concentration, scale=exp(-log_rate)
    ),
    LIGHT,
  ),
  'beta': (
    vj.Beta,
    {'concentration1': 1.8, 'concentration0': 2.6},
    lambda concentration1, concentration0: stats.beta(
      concentration1, concentration0
    ),
    LIGHT,
  ),
}


def expectation(law, f):
  z = np.where(UPPER, law.isf(END), law.ppf(END))
  with jax.enable_x64(True):
    return np.sum(WEIGHT * np.asarray(f(jnp.asarray(z))))


def exact_derivatives(parameters, law, f, step=1e-4):
  moved = lambda name, by: law(**{**parameters, name: parameters[name] + by})
  return {
    name: (
      expectation(moved(name, step), f) - expectation(moved(name, -step), f)
    )
    / (2 * step)
    for name in parameters
  }


# name -> estimator, and the parameters of each family that it serves
score = vj.score_function
ESTIMATORS = {
  'pathwise': vj.pathwise,
  'antithetic': functools.partial(vj.pathwise, num_samples=2, antithetic=True),
  'score': score,
  'score, number': functools.partial(score, baseline=0.7),
  'score, left out': functools.partial(
    score, num_samples=3, baseline='leave_one_out'
  ),
  'score, delta': functools.partial(score, baseline='delta'),
  'score, antithetic': functools.partial(score, num_samples=2, antithetic=True),
  'measure-valued': vj.measure_valued,
  'independent': functools.partial(vj.measure_valued, coupled=False),
}
NO_MIRROR = {'gamma', 'beta'}
NO_MOMENTS = {'cauchy', 'student_t', 'pareto'}
MEASURES = {
  'normal': ('loc', 'log_scale'),
  'laplace': ('loc', 'log_scale'),
  'log_normal': ('loc', 'log_scale'),
  'exponential': ('log_rate',),
  'weibull': ('log_scale',),
  'rayleigh': ('log_scale',),
  'gamma': ('log_rate',),
}


def served(estimator, family, parameters):
  if 'antithetic' in estimator and family in NO_MIRROR:
    return ()
  if estimator in ('measure-valued', 'independent'):
    return MEASURES.get(family, ())
  if family == 'student_t' and 'antithetic' in estimator:
    return ('loc', 'log_scale')
  if 'score' in estimator:
    if 'delta' in estimator and family in NO_MOMENTS:
      return ()
    moving = {'pareto': ('log_scale',), 'uniform': ('low', 'high')}
    return tuple(p for p in parameters if p not in moving.get(family, ()))
  return tuple(parameters)


def gradients(key, family, names, estimator):
  """Returns `[DRAWS, costs]` for each of the parameters."""
  make, parameters, _, costs = FAMILIES[family]

  def estimates(params, key):
    q = make(**{**parameters, **params})
    return jnp.stack([ESTIMATORS[estimator](key, q, f) for f in costs])

  params = {name: jnp.asarray(parameters[name]) for name in names}
  keys = jax.random.split(key, DRAWS)
  # Costs share their draws, which the compiler then makes once.
  with jax.debug_key_reuse(False):
    jacobian = jax.jit(jax.vmap(jax.jacrev(estimates), (None, 0)))
    return jacobian(params, keys)


# Their samplers are loops of rejection.
SLOW = ('beta', 'gamma', 'student_t')


@pytest.mark.parametrize(
  'family',
  [
    pytest.param(family, marks=pytest.mark.slow if family in SLOW else ())
    for family in FAMILIES
  ],
)
def test_gradients_are_those_of_the_expectation(family, key):
  _, parameters, law, costs = FAMILIES[family]
  exact = [exact_derivatives(parameters, law, f) for f in costs]
  for estimator, estimator_key in zip(
    ESTIMATORS, jax.random.split(key, len(ESTIMATORS)), strict=True
  ):
    names = served(estimator, family, parameters)
    if not names:
      continue
    draws = gradients(estimator_key, family, names, estimator)
    for name in names:
      samples = np.asarray(draws[name], np.float64)
      error = samples.std(axis=0, ddof=1) / np.sqrt(DRAWS) + 1e-6
      truth = np.array([d[name] for d in exact])
      z = (samples.mean(axis=0) - truth) / error
      assert np.all(np.abs(z) < SIGMAS), f'{estimator}, {name}: z = {z}'
      # For one cost at least, a derivative that is 10 % off would show.
      power = stats.norm.cdf(0.1 * np.abs(truth) / error - SIGMAS)
      assert power.max() > 0.9, f'{estimator}, {name}: power = {power}'
