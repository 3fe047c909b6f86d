"""Finite mixtures: density, moments, draws and admissible gradients."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax as vj
from tests.helpers import assert_mean
from vae_jax.distributions.support import POSITIVE, REALS

LOGITS = jnp.array([0.5, -1.0, 0.2])
LOC = jnp.array([[-2.0, 1.0], [0.5, 0.0], [3.0, -1.0]])
LOG_SCALE = jnp.array([[0.0, -0.5], [-1.0, 0.3], [0.2, -0.2]])
WEIGHTS = np.asarray(jax.nn.softmax(LOGITS), float)


def mixture(logits=LOGITS):
  return vj.Mixture(logits, vj.Normal(LOC, LOG_SCALE))


def full():
  """Returns the same three components with correlated dimensions."""
  tril = jnp.stack([jnp.array([[1.0, 0.0], [0.6, 0.5]])] * 3)
  return vj.Mixture(LOGITS, jax.vmap(vj.MultivariateNormal)(LOC, tril))


def test_log_prob_is_the_weighted_sum_of_the_densities():
  z = np.array([0.3, -0.4])
  densities = stats.norm(LOC, np.exp(LOG_SCALE)).pdf(z).prod(1)
  value = mixture().log_prob(jnp.asarray(z))
  assert value.shape == ()
  np.testing.assert_allclose(value, np.log(WEIGHTS @ densities), rtol=1e-5)
  # Unnormalised logits and far tails.
  shifted = mixture(LOGITS + 50.0).log_prob(jnp.asarray(z))
  np.testing.assert_allclose(shifted, value, rtol=1e-5)
  assert np.isfinite(mixture().log_prob(jnp.array([200.0, -300.0])))


@pytest.mark.parametrize('size', [1, 2])
def test_density_integrates_to_one(size):
  q = vj.Mixture(LOGITS, vj.Normal(LOC[:, :size], LOG_SCALE[:, :size]))
  line = jnp.linspace(-12.0, 12.0, 401)
  grid = jnp.stack(jnp.meshgrid(*[line] * size), -1).reshape(-1, size)
  p = np.exp(jax.jit(jax.vmap(q.log_prob))(grid))
  total = float(np.sum(p, dtype=float)) * float(line[1] - line[0]) ** size
  np.testing.assert_allclose(total, 1, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('make', [mixture, full])
def test_moments_are_those_of_the_draws(make):
  q = make()
  assert q.has_moments
  # Every function of one deviation has a false-alarm rate as `assert_mean` has.
  with jax.debug_key_reuse(False):
    keys = jax.random.split(jax.random.key(0), 40_000)
    z = np.asarray(jax.jit(jax.vmap(q.sample))(keys), float)
  mean, covariance = np.asarray(q.mean()), np.asarray(q.covariance())
  deviation = z - mean
  assert_mean(z, mean)
  assert_mean(deviation[:, :, None] * deviation[:, None], covariance)
  np.testing.assert_allclose(q.variance(), np.diag(covariance), rtol=1e-5)


def cost(z):
  return jnp.sum(jnp.sin(z)) + jnp.sum(z**2)


def exact_cost(q):
  """Returns E[cost] in closed form: sines and squares of normals."""
  m, v = q.components.loc, jnp.exp(2 * q.components.log_scale)
  each = jnp.sum(jnp.exp(-v / 2) * jnp.sin(m) + m**2 + v, axis=1)
  return jax.nn.softmax(q.logits) @ each


@functools.cache
def gradients():
  """Returns 40,000 gradients of each estimator, compiled together."""

  @jax.jit
  @functools.partial(jax.vmap, in_axes=(None, 0))
  def program(q, key):
    pathwise = lambda p: vj.pathwise(key, vj.Mixture(q.logits, p), cost)
    score = lambda q: vj.score_function(
      key, q, cost, num_samples=2, baseline='leave_one_out'
    )
    delta = lambda q: vj.score_function(key, q, cost, baseline='delta')
    return {
      'pathwise': jax.grad(pathwise)(q.components),
      'score': jax.grad(score)(q),
      'delta': jax.grad(delta)(q),
    }

  with jax.debug_key_reuse(False):
    keys = jax.random.split(jax.random.key(1), 40_000)
    return program(mixture(), keys)


@pytest.mark.slow
def test_gradients_are_unbiased_where_they_are_admitted():
  exact = jax.grad(exact_cost)(mixture())
  assert np.all(np.abs(exact.logits) > 0.1)
  jax.tree.map(assert_mean, gradients()['pathwise'], exact.components)
  for name in ('score', 'delta'):
    jax.tree.map(assert_mean, gradients()[name], exact)


@pytest.mark.parametrize(
  'estimate',
  [
    lambda key, q: vj.pathwise(key, q, cost),
    lambda key, q: (
      vj.elbo(key, q, vj.Normal(jnp.zeros(2), 0.0), cost, form='joint').elbo
    ),
    lambda key, q: vj.iw_elbo(key, q, cost, num_samples=2, estimator='dreg'),
    lambda key, q: jnp.sum(q.draw(key)),
    lambda key, q: q.draw_and_log_prob(key)[1],
    lambda key, q: vj.measure_valued(key, q, cost),
  ],
)
def test_a_pathwise_gradient_in_the_weights_is_refused(estimate):
  """Never a silent zero, as in other libraries."""
  key = jax.random.key(0)
  with pytest.raises(TypeError, match=r'no (pathwise|measure).*'):
    jax.eval_shape(
      jax.grad(lambda logits: estimate(key, mixture(logits))), LOGITS
    )


def test_the_refusal_names_the_estimators_that_work(key):
  with pytest.raises(TypeError, match=r'logits: .*`vj.score_function`'):
    jax.grad(lambda x: vj.pathwise(key, mixture(x), cost))(LOGITS)
  message = r'Mixture has no z = g\(phi, eps\).*`vj.score_function`'
  for method in ('noise', 'transform', 'inverse', 'mirror', 'noise_log_prob'):
    with pytest.raises(TypeError, match=message):
      getattr(mixture(), method)(jax.random.clone(key))
  with pytest.raises(TypeError, match=message):
    vj.reparameterise_many(jax.random.key(1), mixture(), 2, antithetic=True)


def test_draws_of_a_mixture_with_constant_weights_are_differentiable(key):
  one = lambda loc: vj.reparameterise(
    key, vj.Mixture(LOGITS, vj.Normal(loc, LOG_SCALE))
  )
  with jax.debug_key_reuse(False):
    jacobian = jax.jacobian(one)(LOC)
  # One component was drawn, and it alone moves the draw.
  assert jnp.sum(jacobian != 0) == 2


def test_capabilities_are_those_of_the_component():
  q = mixture()
  assert (q.has_entropy, q.has_moments, q.has_inverse) == (False, True, True)
  assert q.shape == (2,)
  assert not q.is_discrete
  heavy = vj.Mixture(LOGITS, vj.StudentT(jnp.full((3, 2), 2.5), LOC, LOG_SCALE))
  assert np.min(heavy.moment_order) == 2.5
  cauchy = vj.Mixture(LOGITS, vj.RelaxedBernoulli(jnp.ones((3, 2)), LOC))
  assert not cauchy.has_moments
  with pytest.raises(TypeError, match='Mixture has no closed-form mean'):
    cauchy.mean()


@pytest.mark.slow
def test_a_mixture_of_discrete_components_is_discrete(key):
  q = vj.Mixture(LOGITS, vj.Bernoulli(LOC))
  assert q.is_discrete
  points = jnp.array([[0, 0], [0, 1], [1, 0], [1, 1]])
  total = np.sum(np.exp(jax.vmap(q.log_prob)(points)))
  np.testing.assert_allclose(total, 1, rtol=1e-6)
  np.testing.assert_allclose(
    q.mean(), WEIGHTS @ np.asarray(jax.nn.sigmoid(LOC)), rtol=1e-5
  )
  with pytest.raises(TypeError, match='Bernoulli is discrete'):
    vj.reparameterise(key, q)


def test_components_of_another_number_than_the_logits_are_refused():
  for components in (vj.Normal(LOC[:2], 0.0), vj.Normal(LOC, 0.0)):
    with pytest.raises(ValueError, match='expected the leading axis to be'):
      vj.Mixture(LOGITS, components)


def test_a_chain_may_be_a_component():
  parts = vj.Chain(a=vj.Normal(LOC, LOG_SCALE), b=vj.Normal(LOC, LOG_SCALE))
  q = vj.Mixture(LOGITS, parts)
  assert q.shape == {'a': (2,), 'b': (2,)}
  z = {'a': jnp.zeros(2), 'b': jnp.ones(2)}
  each = jax.vmap(lambda p: p.log_prob(z))(parts)
  exact = jax.nn.logsumexp(each + jnp.log(WEIGHTS))
  np.testing.assert_allclose(q.log_prob(z), exact, rtol=1e-5)
  np.testing.assert_allclose(q.mean()['b'], WEIGHTS @ LOC, rtol=1e-5)


def test_the_support_of_a_flow_on_a_mixture_is_known():
  assert mixture().support is REALS
  gamma = vj.Gamma(jnp.ones((3, 2)), jnp.zeros((3, 2)))
  assert vj.Mixture(LOGITS, gamma).support is POSITIVE


def test_gradient_outside_every_component_is_zero():
  """As that of each family outside its support."""

  def log_prob(logits, ends):
    q = vj.Mixture(logits, vj.Uniform(ends, ends + 1))
    return q.log_prob(jnp.array([5.3]))

  both = jax.value_and_grad(log_prob, (0, 1))
  value, slopes = jax.jit(both)(jnp.zeros(2), jnp.array([[0.0], [2.0]]))
  assert value == -np.inf
  assert all(np.all(slope == 0) for slope in slopes)


def _many(family, num_parameters):
  """Returns 70 components of 3 coordinates."""
  keys = jax.random.split(jax.random.key(5), num_parameters)
  return family(*(0.5 * jax.random.normal(key, (70, 3)) for key in keys))


_MANY = {
  'normal': _many(vj.Normal, 2),
  'laplace': _many(vj.Laplace, 2),
  'gumbel, one scale each': vj.Gumbel(
    _many(vj.Gumbel, 2).loc, jnp.linspace(-1.0, 1.0, 70)
  ),
  'gamma': _many(lambda a, b: vj.Gamma(jnp.exp(a), b), 2),
  'bernoulli': _many(vj.Bernoulli, 1),
}


@pytest.mark.quick('normal', 'gumbel, one scale each')
@pytest.mark.parametrize('name', _MANY)
def test_many_components_have_the_density_of_their_sum(name):
  components = _MANY[name]
  logits = jnp.linspace(-1.0, 1.0, 70)
  z = jnp.array([1.0, 0.0, 1.0] if name == 'bernoulli' else [0.7, 0.2, 1.5])

  def direct(components):
    each = jax.vmap(lambda p: p.log_prob(z))(components)
    return jax.nn.logsumexp(jax.nn.log_softmax(logits) + each)

  mixed = lambda components: vj.Mixture(logits, components).log_prob(z)
  expected = jax.jit(jax.value_and_grad(direct))(components)
  value = jax.jit(jax.value_and_grad(mixed))(components)
  chex.assert_trees_all_close(value, expected, rtol=1e-4, atol=1e-6)
  # And it is the loop over coordinates that was tried.
  assert 'scan[' in str(jax.make_jaxpr(mixed)(components))


def test_many_components_have_second_derivatives_in_z():
  mixture = vj.Mixture(jnp.zeros(70), _MANY['normal'])
  few = lambda z: jax.nn.logsumexp(
    jax.vmap(lambda p: p.log_prob(z))(_MANY['normal']) - jnp.log(70.0)
  )
  zs = jax.random.normal(jax.random.key(6), (4, 3))
  hessians = lambda f: jax.jit(jax.vmap(jax.hessian(f)))(zs)
  np.testing.assert_allclose(
    hessians(mixture.log_prob), hessians(few), rtol=1e-3, atol=1e-4
  )


@pytest.mark.parametrize('shape', [(), (2,), (3, 1)])
def test_many_components_refuse_a_foreign_event(shape):
  with pytest.raises(ValueError, match='one event of Normal has shape'):
    vj.Mixture(jnp.zeros(70), _MANY['normal']).log_prob(jnp.zeros(shape))
