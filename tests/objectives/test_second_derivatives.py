"""Second derivatives: right in expectation, or refused by name."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.helpers import assert_mean
from tests.objectives import exact
from vae_jax import objectives

NAMES = sorted(exact.PARAMS)
POINT = jnp.array([exact.PARAMS[name] for name in NAMES])
DRAWS = 40_000


def of_elbo(**options):
  def bound(key, p):
    return vj.elbo(
      key,
      exact.posterior_of(p),
      exact.prior_of(p),
      exact.log_likelihood_of(p),
      **options,
    ).elbo

  return bound


def of_log_joint(function, **options):
  def bound(key, p):
    return function(
      key, exact.posterior_of(p), exact.log_joint_of(p), **options
    )

  return bound


def mean_log_weight(p):
  """Returns the ELBO in closed form."""
  q, prior = exact.posterior_of(p), exact.prior_of(p)
  error = exact.X - p['slope'] * q.loc
  spread = (p['slope'] * jnp.exp(q.log_scale)) ** 2
  variance = exact.NOISE**2
  log_lik = -0.5 * (
    jnp.log(2 * jnp.pi * variance) + (error**2 + spread) / variance
  )
  return log_lik - vj.kl(q, prior)


def named(point):
  return dict(zip(NAMES, point, strict=True))


RIGHT = {
  'elbo pathwise': of_elbo(form='joint'),
  'elbo score kl': of_elbo(form='kl', estimator='score_function'),
  'elbo score entropy': of_elbo(form='entropy', estimator='score_function'),
  'elbo score joint': of_elbo(
    form='joint', estimator='score_function', num_samples=2
  ),
  'iw pathwise': of_log_joint(vj.iw_elbo, num_samples=2),
  'iw score': of_log_joint(
    vj.iw_elbo, num_samples=2, estimator='score_function'
  ),
  'ciw pathwise': of_log_joint(
    objectives.ciw_elbo, num_samples=2, elbo_weight=0.0
  ),
  'renyi': of_log_joint(objectives.renyi_elbo, num_samples=2, alpha=0.0),
}


@functools.cache
def exact_hessians():
  """Returns the Hessians of the ELBO and of L_2, the latter by quadrature."""
  points, weights = np.polynomial.hermite_e.hermegauss(40)
  grid = np.stack(np.meshgrid(points, points), -1).reshape(-1, 2)
  mass = np.outer(weights, weights).ravel() / (2 * np.pi)

  def tight(point):
    p = named(point)
    z = p['loc'] + jnp.exp(p['log_scale']) * grid
    log_joint, q = exact.log_joint_of(p), exact.posterior_of(p)
    log_w = jax.vmap(jax.vmap(lambda z: log_joint(z) - q.log_prob(z)))(z)
    return mass @ jax.vmap(exact.iwae)(log_w)

  with jax.enable_x64(True):
    at = jnp.asarray(np.asarray(POINT), float)
    loose = jax.jit(jax.hessian(lambda p: mean_log_weight(named(p))))(at)
    return np.asarray(loose), np.asarray(jax.jit(jax.hessian(tight))(at))


# The others are of the same kind, or equal to these in the limit of an option.
QUICK = ('elbo pathwise', 'elbo score joint', 'iw pathwise')


@pytest.mark.slow
@pytest.mark.parametrize(
  'name',
  [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in RIGHT
  ],
)
def test_hessian_is_exact_in_expectation(name, key):
  bound = lambda key, point: RIGHT[name](key, named(point))
  keys = jax.random.split(key, DRAWS)
  hessians = jax.jit(jax.vmap(jax.hessian(bound, 1), (0, None)))(keys, POINT)
  loose, tight = exact_hessians()
  assert_mean(hessians, loose if name.startswith('elbo') else tight)


REFUSED = {
  'stl': (of_elbo(form='joint', estimator='stl'), 'pathwise'),
  'mixed': (
    lambda key, p: (
      objectives.mixed_elbo(
        key,
        exact.posterior_of(p),
        exact.prior_of(p),
        exact.log_likelihood_of(p),
        coefficient=0.3,
      ).elbo
    ),
    'pathwise',
  ),
  'iw stl': (
    of_log_joint(vj.iw_elbo, num_samples=1, estimator='stl'),
    'pathwise',
  ),
  'dreg': (
    of_log_joint(vj.iw_elbo, num_samples=2, estimator='dreg'),
    'pathwise',
  ),
  'vimco': (
    of_log_joint(vj.iw_elbo, num_samples=2, estimator='vimco'),
    'score_function',
  ),
  'mixed iw': (
    of_log_joint(objectives.mixed_iw_elbo, num_samples=2, coefficient=0.3),
    'pathwise',
  ),
  'miw': (
    of_log_joint(
      objectives.miw_elbo, num_groups=2, num_samples=2, estimator='dreg'
    ),
    'pathwise',
  ),
  'ciw': (
    of_log_joint(
      objectives.ciw_elbo, num_samples=2, elbo_weight=0.3, estimator='dreg'
    ),
    'pathwise',
  ),
  'piw': (
    of_log_joint(objectives.piw_elbo, num_groups=2, num_samples=2),
    'miw_elbo',
  ),
  'measure-valued': (
    lambda key, p: vj.measure_valued(
      key, exact.posterior_of(p), exact.log_joint_of(p)
    ),
    'score_function',
  ),
}


@pytest.mark.quick('dreg')
@pytest.mark.parametrize('name', REFUSED)
def test_second_derivatives_in_phi_are_refused_by_name(name):
  bound, instead = REFUSED[name]
  with jax.debug_key_reuse(False):
    value = functools.partial(bound, jax.random.key(0))
    for second in (jax.hessian(value), jax.jacfwd(jax.jacfwd(jax.jit(value)))):
      with pytest.raises(TypeError, match=f'no second deriv.*{instead}'):
        jax.eval_shape(second, exact.params())
    # First derivatives exist in both modes.
    jax.eval_shape(jax.grad(value), exact.params())
    jax.eval_shape(jax.jacfwd(value), exact.params())


@pytest.mark.slow
def test_forward_mode_equals_reverse_mode():
  def both(p):
    key = jax.random.key(3)
    names = ('stl', 'dreg', 'vimco', 'piw', 'measure-valued')
    values = [REFUSED[name][0] for name in names]
    return [
      (jax.grad(value)(p), jax.jacfwd(value)(p))
      for value in (functools.partial(bound, key) for bound in values)
    ]

  with jax.debug_key_reuse(False):
    for reverse, forward in jax.jit(both)(exact.params()):
      jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5),
        forward,
        reverse,
      )


@pytest.mark.slow
def test_mixed_derivatives_of_measure_valued_are_exact(key):
  """d2/dphi dtheta E[theta z^2] = (2 loc, 2 exp(2 log_scale))."""
  phi = jnp.array([0.7, -0.2])

  def value(key, phi, theta):
    q = vj.Normal(phi[0], phi[1])
    return vj.measure_valued(key, q, lambda z: theta * z**2)

  mixed = jax.jacfwd(jax.grad(value, 1), 2)
  keys = jax.random.split(key, 5000)
  draws = jax.jit(jax.vmap(mixed, (0, None, None)))(keys, phi, 1.5)
  assert_mean(draws, [2 * phi[0], 2 * np.exp(2 * phi[1])])
  in_theta = jax.grad(jax.grad(value, 2), 2)
  with jax.debug_key_reuse(False):
    assert in_theta(key, phi, 1.5) == 0


def test_sticking_the_landing_refuses_a_support_that_moves(key):
  """There E[grad log q] is not 0: d/dhigh E[-log q] is 1 / (high - low)."""
  log_joint = lambda z: -0.5 * z**2
  for estimator in ('stl', 'dreg'):
    value = lambda high, estimator=estimator: vj.iw_elbo(
      jax.random.key(0),
      vj.Uniform(0.0, high),
      log_joint,
      num_samples=1,
      estimator=estimator,
    )
    with pytest.raises(TypeError, match='in high: it moves the support'):
      jax.eval_shape(jax.grad(value), 2.0)
