"""Estimators against the exact derivative of the expectation, by family.

The exact derivatives are central differences of E[f] = int_0^1 f(F^-1(u)) du,
by tanh-sinh quadrature in float64. A comparison fails at 6 measured standard
errors (p = 2e-9), so the 250 or so of this file fail a correct library less
than once in a million runs.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests.distributions.scipy_references import reference_of
from tests.helpers import SIGMAS


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

# name -> distribution, parameters in the order of its fields, costs
FAMILIES = {
  'normal': (
    vj.Normal,
    {'loc': 0.4, 'log_scale': -0.3},
    LIGHT,
  ),
  'laplace': (
    vj.Laplace,
    {'loc': 0.4, 'log_scale': -0.3},
    LIGHT,
  ),
  'logistic': (
    vj.Logistic,
    {'loc': 0.4, 'log_scale': -0.8},
    LIGHT,
  ),
  'gumbel': (
    vj.Gumbel,
    {'loc': 0.4, 'log_scale': -0.5},
    LIGHT,
  ),
  'student_t': (
    vj.StudentT,
    {'df': 2.5, 'loc': 0.4, 'log_scale': -0.3},
    HEAVY,
  ),
  'cauchy': (
    vj.Cauchy,
    {'loc': 0.4, 'log_scale': -0.3},
    HEAVY,
  ),
  'exponential': (
    vj.Exponential,
    {'log_rate': 0.3},
    LIGHT,
  ),
  'weibull': (
    vj.Weibull,
    {'concentration': 1.7, 'log_scale': 0.2},
    LIGHT,
  ),
  'rayleigh': (
    vj.Rayleigh,
    {'log_scale': -0.4},
    LIGHT,
  ),
  'log_normal': (
    vj.LogNormal,
    {'loc': 0.6, 'log_scale': -0.7},
    LIGHT,
  ),
  'pareto': (
    vj.Pareto,
    {'concentration': 2.2, 'log_scale': -0.6},
    HEAVY,
  ),
  'uniform': (
    vj.Uniform,
    {'low': -0.5, 'high': 1.3},
    LIGHT,
  ),
  'gamma': (
    vj.Gamma,
    {'concentration': 1.8, 'log_rate': 0.7},
    LIGHT,
  ),
  'beta': (
    vj.Beta,
    {'concentration1': 1.8, 'concentration0': 2.6},
    LIGHT,
  ),
}


def expectation(exact, f):
  z = np.where(UPPER, exact.isf(END), exact.ppf(END))
  with jax.enable_x64(True):
    return np.sum(WEIGHT * np.asarray(f(jnp.asarray(z))))


def exact_derivatives(make, parameters, f, step=1e-4):
  def moved(name, by):
    values = {**parameters, name: parameters[name] + by}.values()
    return expectation(reference_of(make, values), f)

  return {
    name: (moved(name, step) - moved(name, -step)) / (2 * step)
    for name in parameters
  }


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
# Options that do not depend on the family, beyond the mirrored noise and the
# moments that its own tests compare with scipy.
OPTIONS = ('antithetic', 'number', 'left out', 'delta')
WITH_OPTIONS = ('normal', 'gumbel', 'weibull')
MEASURES = {
  'normal': ('loc', 'log_scale'),
  'laplace': ('loc', 'log_scale'),
  'log_normal': ('loc', 'log_scale'),
  'exponential': ('log_rate',),
  'weibull': ('log_scale',),
  'rayleigh': ('log_scale',),
  'gamma': ('log_rate',),
}
MOVING = {'pareto': ('log_scale',), 'uniform': ('low', 'high')}


# Their samplers use rejection, which is slow to compile and to run.
SLOW = ('beta', 'gamma', 'student_t')
# One of each kind: location and scale, scale alone, tails without moments, a
# support that moves at one end and at both.
QUICK = ('normal', 'exponential', 'cauchy', 'pareto', 'uniform')


def num_draws(estimator, family):
  slow = family in SLOW or estimator in ('measure-valued', 'independent')
  return 50_000 if slow else 100_000


def differentiable(estimator, family, parameters):
  """Returns the parameters in which this estimator has a gradient."""
  if estimator == 'independent' and family == 'log_normal':
    return ()  # The exponentials of the draws of the normal.
  if estimator in ('measure-valued', 'independent'):
    return MEASURES.get(family, ())
  if family not in WITH_OPTIONS and estimator.endswith(OPTIONS):
    return ()
  moving = MOVING.get(family, ()) if 'score' in estimator else ()
  return tuple(name for name in parameters if name not in moving)


def gradients(key, family, names, estimator):
  """Returns `[N, costs]` for each of the parameters."""
  make, parameters, costs = FAMILIES[family]

  def estimates(params, key):
    q = make(**{**parameters, **params})
    # One estimate per cost from the same draws: f is a batch of one-hot sums.
    f = lambda weights, z: weights @ jnp.stack([cost(z) for cost in costs])
    estimate = lambda weights: ESTIMATORS[estimator](
      key, q, functools.partial(f, weights)
    )
    return jax.vmap(estimate)(jnp.eye(len(costs)))

  params = {name: jnp.asarray(parameters[name]) for name in names}
  jacobian = jax.jit(jax.vmap(jax.jacrev(estimates), (None, 0)))
  return jacobian(params, jax.random.split(key, num_draws(estimator, family)))


@pytest.mark.quick('uniform')
@pytest.mark.parametrize(
  'family',
  [
    pytest.param(family, marks=() if family in QUICK else pytest.mark.slow)
    for family in FAMILIES
  ],
)
def test_gradients_are_unbiased(family, key):
  make, parameters, costs = FAMILIES[family]
  exact = [exact_derivatives(make, parameters, f) for f in costs]
  for estimator, estimator_key in zip(
    ESTIMATORS, jax.random.split(key, len(ESTIMATORS)), strict=True
  ):
    names = differentiable(estimator, family, parameters)
    if not names:
      continue
    draws = gradients(estimator_key, family, names, estimator)
    for name in names:
      samples = np.asarray(draws[name], np.float64)
      error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples)) + 1e-6
      truth = np.array([d[name] for d in exact])
      z = (samples.mean(axis=0) - truth) / error
      assert np.all(np.abs(z) < SIGMAS), f'{estimator}, {name}: z = {z}'
      # For at least one cost an error of 10 % would be detected.
      power = stats.norm.cdf(0.1 * np.abs(truth) / error - SIGMAS)
      assert power.max() > 0.9, f'{estimator}, {name}: power = {power}'
