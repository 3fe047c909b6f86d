"""Two latent layers: gradients of every estimator, for a pytree of latents.

p: z2 ~ N(0, 1), z1 | z2 ~ N(a z2, 1), x | z1 ~ N(s z1, 0.6^2); q draws in the
opposite order, z1 ~ N(m1, e^(2 l1)), z2 | z1 ~ N(b z1 + m2, e^(2 l2)).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy import stats

import vae_jax as vj
from tests.helpers import assert_mean

X, NOISE, DRAWS = 0.9, 0.6, 10_000
PHI = {'m1': 0.3, 'l1': -0.5, 'b': 0.4, 'm2': -0.1, 'l2': 0.05}
THETA = {'a': 0.7, 's': 1.1}
PARAMS = PHI | THETA


def q_of_z2(phi, z):
  return vj.Normal(phi['b'] * z['z1'] + phi['m2'], phi['l2'])


def prior_of_z1(theta, z):
  return vj.Normal(theta['a'] * z['z2'], 0.0)


def posterior_of(p):
  phi = {name: p[name] for name in ('b', 'm2', 'l2')}
  return vj.Chain(
    z1=vj.Normal(p['m1'], p['l1']), z2=vj.Conditional(q_of_z2, phi)
  )


def prior_of(p):
  return vj.Chain(
    z2=vj.Normal(0.0, 0.0), z1=vj.Conditional(prior_of_z1, {'a': p['a']})
  )


def log_likelihood_of(p):
  return lambda z: vj.Normal(p['s'] * z['z1'], np.log(NOISE)).log_prob(X)


def log_joint_of(p):
  likelihood, prior = log_likelihood_of(p), prior_of(p)
  return lambda z: likelihood(z) + prior.log_prob(z)


def log_weight(p, eps):
  """log w of one draw, from the definition of the model."""
  z1 = p['m1'] + jnp.exp(p['l1']) * eps[0]
  loc2 = p['b'] * z1 + p['m2']
  z2 = loc2 + jnp.exp(p['l2']) * eps[1]
  log_p = (
    stats.norm.logpdf(X, p['s'] * z1, NOISE)
    + stats.norm.logpdf(z2)
    + stats.norm.logpdf(z1, p['a'] * z2, 1.0)
  )
  log_q = stats.norm.logpdf(z1, p['m1'], jnp.exp(p['l1']))
  return log_p - log_q - stats.norm.logpdf(z2, loc2, jnp.exp(p['l2']))


@functools.cache
def exact(num_samples, nodes=14):
  """L_K and its gradient by Gauss-Hermite quadrature over 2 K numbers."""
  points, weights = np.polynomial.hermite_e.hermegauss(nodes)
  weights = weights / np.sqrt(2 * np.pi)
  grid = lambda x: np.stack(
    np.meshgrid(*[x] * (2 * num_samples), indexing='ij'), -1
  ).reshape(-1, num_samples, 2)
  mass = jnp.asarray(np.prod(grid(weights), axis=(1, 2)))

  def integral(p):
    log_w = jax.vmap(jax.vmap(log_weight, (None, 0)), (None, 0))(
      p, jnp.asarray(grid(points))
    )
    log_mean = jax.nn.logsumexp(log_w, axis=1) - np.log(num_samples)
    return mass @ log_mean

  with jax.enable_x64(True):
    at = {name: jnp.float64(value) for name, value in PARAMS.items()}
    value, gradient = jax.jit(jax.value_and_grad(integral))(at)
    return float(value), {name: float(g) for name, g in gradient.items()}


@pytest.mark.slow
@pytest.mark.parametrize('num_samples', [1, 2])
def test_quadrature_has_converged(num_samples):
  for a, b in zip(exact(num_samples), exact(num_samples, 18), strict=True):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), a, b)


def test_quadrature_of_one_sample_equals_the_closed_form():
  """E_q[log p(x, z)] + H[q] from the moments of q."""

  def closed(p):
    var1, var2 = jnp.exp(2 * p['l1']), jnp.exp(2 * p['l2'])
    mean2 = p['b'] * p['m1'] + p['m2']
    second1, second2 = p['m1'] ** 2 + var1, mean2**2 + p['b'] ** 2 * var1 + var2
    cross = p['m1'] * mean2 + p['b'] * var1
    misfit = X**2 - 2 * X * p['s'] * p['m1'] + p['s'] ** 2 * second1
    gap = second1 - 2 * p['a'] * cross + p['a'] ** 2 * second2
    log_p = -0.5 * (misfit / NOISE**2 + gap + second2)
    log_p -= np.log(NOISE) + 1.5 * np.log(2 * np.pi)
    return log_p + p['l1'] + p['l2'] + np.log(2 * np.pi) + 1

  at = {name: jnp.float32(value) for name, value in PARAMS.items()}
  found = jax.jit(jax.value_and_grad(closed))(at)
  for a, b in zip(found, exact(1), strict=True):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), a, b)


def elbo(key, p, **options):
  function = vj.mixed_elbo if 'coefficient' in options else vj.elbo
  parts = posterior_of(p), prior_of(p), log_likelihood_of(p)
  return function(key, *parts, **options).elbo


def of_log_joint(function, **options):
  return lambda key, p: function(
    key, posterior_of(p), log_joint_of(p), **options
  )


two = functools.partial(of_log_joint, num_samples=2)
bound = lambda **options: functools.partial(elbo, **options)
ELBOS = {
  'joint': bound(form='joint'),
  'auto': bound(form='auto'),
  'stl': bound(form='joint', estimator='stl', num_samples=2),
  'score_function': bound(
    form='joint', estimator='score_function', num_samples=2
  ),
  'mixed': bound(coefficient=0.4),
  'iw pathwise K=1': of_log_joint(vj.iw_elbo, num_samples=1),
  'iw stl': of_log_joint(vj.iw_elbo, num_samples=1, estimator='stl'),
  'ciw dreg a=1': two(vj.ciw_elbo, elbo_weight=1.0, estimator='dreg'),
  'renyi alpha=1': two(vj.renyi_elbo, alpha=1.0),
}
WEIGHTED = {
  'pathwise': two(vj.iw_elbo),
  'dreg': two(vj.iw_elbo, estimator='dreg'),
  'score_function': two(vj.iw_elbo, estimator='score_function'),
  'vimco': two(vj.iw_elbo, estimator='vimco'),
  'mixed': two(vj.mixed_iw_elbo, coefficient=0.4),
  'miw dreg': two(vj.miw_elbo, num_groups=2, estimator='dreg'),
  'ciw dreg a=0': two(vj.ciw_elbo, elbo_weight=0.0, estimator='dreg'),
  'renyi alpha=0': two(vj.renyi_elbo, alpha=0.0),
}


def draws(bound, seed=0):
  """Values `[N]` and gradients, each leaf `[N]`."""
  keys = jax.random.split(jax.random.key(seed), DRAWS)
  both = jax.vmap(jax.value_and_grad(bound, 1), (0, None))
  p = {name: jnp.float32(value) for name, value in PARAMS.items()}
  return jax.jit(both)(keys, p)


def check(bound, num_samples):
  values, grads = draws(bound)
  value, gradient = exact(num_samples)
  assert_mean(values, value)
  for name, truth in gradient.items():
    assert_mean(grads[name], truth)


@pytest.mark.quick('joint', 'auto')
@pytest.mark.parametrize('name', ELBOS)
def test_estimators_of_the_elbo_have_the_exact_gradient(name):
  check(ELBOS[name], 1)


@pytest.mark.quick('dreg', 'pathwise')
@pytest.mark.parametrize('name', WEIGHTED)
def test_estimators_of_the_weighted_bound_have_the_exact_gradient(name):
  check(WEIGHTED[name], 2)


def test_piwae_has_the_exact_gradients_of_its_two_bounds():
  values, grads = draws(of_log_joint(vj.piw_elbo, num_groups=2, num_samples=1))
  (tight, in_theta), (_, in_phi) = exact(2), exact(1)
  assert_mean(values, tight)
  for name in PARAMS:
    truth = in_phi if name in PHI else in_theta
    assert_mean(grads[name], truth[name])


@pytest.mark.parametrize('weighted', [True, False])
def test_control_variate_has_the_exact_gradient_and_mean_zero(weighted):
  """In every parameter of q, in the order of its leaves."""

  def compare(key, p):
    q, log_joint = posterior_of(p), log_joint_of(p)
    return vj.control_variate(
      key, q, log_joint, num_samples=2, weighted=weighted
    )

  p = {name: jnp.float32(value) for name, value in PARAMS.items()}
  names = jax.tree.leaves(posterior_of({name: name for name in PARAMS}))
  assert sorted(names) == sorted(PHI)
  keys = jax.random.split(jax.random.key(1), DRAWS)
  pairs = jax.jit(jax.vmap(compare, (0, None)))(keys, p)
  _, gradient = exact(2 if weighted else 1)
  assert_mean(pairs.plain, np.array([gradient[name] for name in names]))
  assert_mean(pairs.difference, np.zeros(len(names)))
  # The other gradient is a different one.
  assert np.all(np.std(pairs.difference, axis=0) > 0.01)


def test_stl_and_dreg_have_variance_zero_at_the_posterior():
  """Both conditionals of the exact posterior, which is Gaussian."""
  precision1 = THETA['s'] ** 2 / NOISE**2 + 1 / (1 + THETA['a'] ** 2)
  m1 = THETA['s'] * X / NOISE**2 / precision1
  var2 = 1 / (1 + THETA['a'] ** 2)
  best = THETA | {
    'm1': m1,
    'l1': -0.5 * np.log(precision1),
    'b': THETA['a'] * var2,
    'm2': 0.0,
    'l2': 0.5 * np.log(var2),
  }
  p = {name: jnp.float32(value) for name, value in best.items()}
  for bound in (ELBOS['stl'], WEIGHTED['dreg'], WEIGHTED['pathwise']):
    keys = jax.random.split(jax.random.key(2), 50)
    grads = jax.jit(jax.vmap(jax.grad(bound, 1), (0, None)))(keys, p)
    for name in PHI:
      if bound is WEIGHTED['pathwise']:
        assert np.std(grads[name]) > 0.1
      else:
        np.testing.assert_allclose(grads[name], 0.0, atol=1e-4)
