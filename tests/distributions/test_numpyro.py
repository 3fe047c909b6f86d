import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax.distributions as vd
from tests.helpers import assert_mean

nd = pytest.importorskip('numpyro.distributions')

LOC = jnp.array([0.5, -1.0, 2.0])
LOGITS = jnp.array([[0.3, -1.0, 2.0, 0.0], [0.1, 0.2, -3.0, 1.0]])


class Case(NamedTuple):
  make: Callable[[jax.Array], Any]  # Differentiated in its argument.
  x: jax.Array
  z: jax.Array  # One event.


CASES = {
  'Normal': Case(lambda x: nd.Normal(x, 0.7), LOC, LOC + 0.1),
  'to_event': Case(lambda x: nd.Normal(0.0, x).to_event(1), jnp.exp(LOC), LOC),
  'MultivariateNormal': Case(
    lambda x: nd.MultivariateNormal(x, scale_tril=2.0 * jnp.eye(3)),
    LOC,
    LOC + 0.1,
  ),
  'Gamma': Case(lambda x: nd.Gamma(x, 2.0), jnp.exp(LOC), jnp.full(3, 0.3)),
  'Bernoulli': Case(
    lambda x: nd.Bernoulli(logits=x), LOC, jnp.array([0, 1, 1])
  ),
  'Categorical': Case(
    lambda x: nd.Categorical(logits=x), LOGITS, jnp.array([2, 0])
  ),
  'mixture': Case(
    lambda x: nd.MixtureSameFamily(
      nd.Categorical(logits=x), nd.Normal(jnp.array([-1.0, 0.0, 2.0]), 0.5)
    ),
    LOC,
    jnp.array(0.4),
  ),
  'Uniform': Case(lambda x: nd.Uniform(x, 5.0), LOC, jnp.full(3, 3.0)),
  'Uniform to_event': Case(
    lambda x: nd.Uniform(-5.0, x).to_event(1), LOC, jnp.full(3, -2.0)
  ),
  'Pareto': Case(lambda x: nd.Pareto(x, 3.0), jnp.exp(LOC), jnp.full(3, 10.0)),
  'LogNormal': Case(lambda x: nd.LogNormal(x, 0.5), LOC, jnp.full(3, 0.3)),
}
NOT_REPARAMETERISED = ('Bernoulli', 'Categorical', 'mixture')
MOVING = ('Uniform', 'Uniform to_event', 'Pareto')

each = pytest.mark.parametrize('name', CASES)


@functools.cache
def computed(name):
  """Returns values and gradients of ours and of numpyro's, as pairs."""
  make, x, z = CASES[name]

  @jax.jit
  def program(x, z, key):
    q, theirs = vd.from_numpyro(make(x)), make(x)
    pairs = {
      'log_prob': (q.log_prob(z), theirs.log_prob(z).sum()),
      'mean': (q.mean(), theirs.mean),
      'variance': (q.variance(), theirs.variance),
    }
    if name not in MOVING:
      ours = lambda x: vd.from_numpyro(make(x)).for_score().log_prob(z)
      exact = lambda x: make(x).log_prob(z).sum()
      pairs['score'] = jax.grad(ours)(x), jax.grad(exact)(x)
    if name not in NOT_REPARAMETERISED:
      ours = lambda x: vd.reparameterise(key, vd.from_numpyro(make(x)))
      pairs['draw'] = ours(x), theirs.sample(key)
      exact = lambda x: make(x).sample(key)
      total = lambda f: jax.grad(lambda x: jnp.sum(f(x)))(x)
      pairs['pathwise'] = total(ours), total(exact)
    else:
      pairs['draw'] = vd.sample(key, q), theirs.sample(key)
    return pairs

  with jax.debug_key_reuse(False):
    return program(x, z, jax.random.key(1))


@pytest.mark.quick('Normal', 'Bernoulli', 'Uniform to_event', 'Uniform')
@each
def test_values_match_numpyro(name):
  event = CASES[name].z.shape
  assert vd.from_numpyro(CASES[name].make(CASES[name].x)).shape == event
  for quantity in ('log_prob', 'mean', 'variance', 'draw'):
    ours, theirs = computed(name)[quantity]
    assert ours.shape == (() if quantity == 'log_prob' else event)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.quick('Normal', 'MultivariateNormal', 'Bernoulli', 'Uniform')
@each
def test_pathwise_gradient_matches_numpyro_or_raises(name, key):
  make, x, _ = CASES[name]
  if name in NOT_REPARAMETERISED:
    message = f'{type(make(x)).__name__} has no pathwise gradient'
    draw = lambda x: vd.reparameterise(key, vd.from_numpyro(make(x)))
    with pytest.raises(TypeError, match=message):
      jax.eval_shape(lambda x: jax.jvp(draw, (x,), (x,)), x)
  else:
    ours, theirs = computed(name)['pathwise']
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert np.all(np.asarray(ours) != 0.0)


@each
def test_score_matches_numpyro_or_raises(name):
  make, x, z = CASES[name]
  if name in MOVING:
    message = f'{type(make(x)).__name__} has no score-function gradient'
    score = lambda x: vd.from_numpyro(make(x)).for_score().log_prob(z)
    with pytest.raises(TypeError, match=message):
      jax.eval_shape(jax.grad(score), x)
  else:
    ours, theirs = computed(name)['score']
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert np.any(np.asarray(ours) != 0.0)


def test_stopped_gradient_does_not_raise(key):
  value = lambda x: vd.reparameterise(
    key, vd.from_numpyro(nd.Bernoulli(logits=jax.lax.stop_gradient(x)))
  )
  assert jax.grad(lambda x: x**2 + value(x))(1.0) == 2.0


def test_entropy_matches_numpyro_or_raises():
  q = vd.from_numpyro(nd.Normal(LOC, 0.7))
  exact = vd.Normal(LOC, np.log(0.7)).entropy()
  np.testing.assert_allclose(q.entropy(), exact, rtol=1e-6)
  make, x, _ = CASES['mixture']
  with pytest.raises(TypeError, match='MixtureSameFamily has no closed-form'):
    vd.from_numpyro(make(x)).entropy()


def test_construction_inside_jit_and_vmap(key):
  @jax.jit
  def draw(loc, key):
    return vd.reparameterise(key, vd.from_numpyro(nd.Normal(loc, 2.0)))

  draws = jax.vmap(draw, (None, 0))(LOC, jax.random.split(key, 5000))
  assert_mean(draws, np.asarray(LOC))
  z = jnp.zeros(3)
  rows = jnp.stack([LOC, 2 * LOC])
  batch = jax.vmap(lambda x: vd.from_numpyro(nd.Normal(x, 1.0)).log_prob(z))
  expected = [vd.Normal(x, 0.0).log_prob(z) for x in rows]
  np.testing.assert_allclose(batch(rows), expected, rtol=1e-5)


def test_noise_and_an_event_of_another_shape_are_refused(key):
  q = vd.from_numpyro(nd.Normal(LOC, 0.7))
  with pytest.raises(TypeError, match='has no z = g'):
    q.noise(key)
  with pytest.raises(ValueError, match=re.escape('z has shape (2,)')):
    q.log_prob(jnp.zeros(2))


@pytest.mark.parametrize('d', [3.0, 'Normal', vd.Normal(0.0, 0.0), None])
def test_other_types_are_refused(d):
  message = f'{type(d).__name__} is not a numpyro distribution: it has no'
  with pytest.raises(TypeError, match=message):
    vd.from_numpyro(d)


def transformed(base, *transforms):
  return nd.TransformedDistribution(base, list(transforms))


def affine(loc, scale):
  return nd.transforms.AffineTransform(loc, scale)


EXP = nd.transforms.ExpTransform()
PAIR = jnp.array([0.2, 0.4])
POINT = jnp.array(0.6)

# The support moves with the argument.
SHIFTED = {
  'uniform': (
    lambda x: transformed(nd.Uniform(0.0, 1.0), affine(0.0, x)),
    POINT,
  ),
  'exponential': (
    lambda x: transformed(nd.Exponential(1.0), affine(x, 1.0)),
    2.0,
  ),
  'beta': (lambda x: transformed(nd.Beta(2.0, 2.0), affine(0.0, x)), POINT),
  'exp': (lambda x: transformed(nd.Normal(0.0, 1.0), EXP, affine(x, 1.0)), 2.0),
  'simplex': (
    lambda x: transformed(nd.Dirichlet(jnp.ones(2)), affine(0.0, x)),
    PAIR,
  ),
  'Delta': (nd.Delta, POINT),
  'Delta behind': (lambda x: transformed(nd.Delta(x), affine(0.0, 1.0)), POINT),
  'Delta before': (lambda x: transformed(nd.Delta(1.0), affine(x, 1.0)), POINT),
  'expanded': (
    lambda x: (
      transformed(nd.Uniform(0.0, 1.0), affine(0.0, x)).expand([2]).to_event(1)
    ),
    PAIR,
  ),
  'mixture': (
    lambda x: nd.MixtureSameFamily(
      nd.Categorical(logits=jnp.zeros(2)),
      transformed(nd.Uniform(jnp.zeros(2), 1.0), affine(0.0, x)),
    ),
    POINT,
  ),
  'truncated': (lambda x: nd.TruncatedNormal(0.0, 1.0, low=x), 2.0),
  'LogUniform': (lambda x: nd.LogUniform(0.1, x), POINT),
}
# The support is the same for every argument.
FIXED = {
  'exponential': (
    lambda x: transformed(nd.Exponential(x), affine(1.0, 2.0)),
    2.0,
  ),
  'half-line': (
    lambda x: transformed(nd.Exponential(1.0), affine(0.0, x)),
    2.0,
  ),
  'exp': (lambda x: transformed(nd.Normal(x, 1.0), EXP, affine(1.0, 1.0)), 2.0),
  'uniform': (
    lambda x: transformed(
      nd.Uniform(0.0, 1.0), nd.transforms.PowerTransform(x)
    ),
    POINT,
  ),
  'one end': (lambda x: nd.TruncatedNormal(x, 1.0, low=0.0), POINT),
  'two ends': (lambda x: nd.TruncatedNormal(0.0, x, low=0.0, high=3.0), POINT),
  'relaxed': (lambda x: nd.RelaxedBernoulliLogits(0.5, logits=x), POINT),
  'InverseGamma': (lambda x: nd.InverseGamma(x, 2.0), POINT),
  'Kumaraswamy': (lambda x: nd.Kumaraswamy(x, 2.0), POINT),
}


@pytest.mark.parametrize('name', SHIFTED)
def test_support_that_moves_with_a_transform_has_no_score(name):
  make, z = SHIFTED[name]
  score = lambda x: (
    vd.from_numpyro(make(x)).for_score().log_prob(jnp.asarray(z))
  )
  for differentiate in (jax.grad, lambda f: jax.grad(jax.jit(f))):
    with pytest.raises(TypeError, match='its parameters move the support'):
      jax.eval_shape(differentiate(score), 1.3)


@pytest.mark.quick('InverseGamma', 'relaxed', 'half-line', 'exp')
@pytest.mark.parametrize('name', FIXED)
def test_support_with_constant_ends_has_a_score(name):
  make, z = FIXED[name]
  ours = lambda x: vd.from_numpyro(make(x)).for_score().log_prob(jnp.asarray(z))
  exact = jax.grad(lambda x: jnp.sum(make(x).log_prob(z)))(1.3)
  np.testing.assert_allclose(jax.grad(ours)(1.3), exact, rtol=1e-5)
  jax.eval_shape(jax.grad(jax.jit(ours)), 1.3)


def test_moments_that_do_not_exist_are_not_claimed():
  for d in (nd.Cauchy(0.0, 1.0), nd.HalfCauchy(1.0), nd.Levy(0.0, 1.0)):
    assert not vd.from_numpyro(d).has_moments
  assert not vd.Cauchy(0.0, 0.0).has_moments
