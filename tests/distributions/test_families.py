"""What holds for every family of `families.py`, each line for each family."""

import dataclasses
import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import vae_jax.distributions as vd
from tests.distributions.families import (
  EXTREMES,
  FAMILIES,
  REPARAMETERISED,
  directional,
  expectation,
  law,
  law_of,
  nodes,
  simulate,
)
from tests.helpers import assert_mean

QUANTILES = np.array([0.01, 0.3, 0.5, 0.9, 0.99])
CLOSED_FORMS = [name for name in FAMILIES if name != 'RelaxedBernoulli']
BOUNDED = [name for name, q in FAMILIES.items() if np.isfinite(law(q).a)]
MANY_PARAMETERS = [
  name for name, q in FAMILIES.items() if len(jax.tree.leaves(q)) > 1
]

# Four coordinates of 28 laws are tested at this level: a correct library
# fails about once in ten million runs.
P_VALUE = 1e-9

# The scope makes the tests of a family follow each other: what they share is
# then computed once, by one of several workers.
every_family = pytest.mark.parametrize('name', FAMILIES, scope='module')
every_reparameterised = pytest.mark.parametrize(
  'name', REPARAMETERISED, scope='module'
)
every_closed_form = pytest.mark.parametrize('name', CLOSED_FORMS)


@jax.jit
def densities(q, z):
  """Returns the log-density of each coordinate at `[N, *event]`."""
  return jax.vmap(jax.vmap(lambda q, z: q.log_prob(z)), (None, 0))(q, z)


def points(q):
  """Returns `[5, *event]`, from tail to tail."""
  return law(q).ppf(QUANTILES[:, None]).astype(np.float32)


def assert_law(draws, law):
  p = [
    stats.kstest(draw, lambda z, i=i: law.cdf(z[:, None])[:, i]).pvalue
    for i, draw in enumerate(draws.T.astype(np.float64))
  ]
  assert min(p) > P_VALUE, f'p = {p}'


@functools.cache
def run(name):
  seed = zlib.crc32(name.encode())
  return simulate(FAMILIES[name], jax.random.key(seed))


@every_family
def test_log_prob_is_scipys(name):
  q = FAMILIES[name]
  z = nodes(law(q)).astype(np.float32)
  # Further out float32 loses digits that an end of the support depends on.
  with np.errstate(all='ignore'):
    there = np.abs(law(q).cdf(z) - 0.5) < 0.499
    exact = law(q).logpdf(z.astype(np.float64))
  value = np.asarray(densities(q, z))
  np.testing.assert_allclose(value[there], exact[there], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', BOUNDED)
def test_log_prob_is_minus_infinity_outside_the_support(name):
  q = FAMILIES[name]
  inside = points(q)[2]
  for end in law(q).support():
    if np.isinf(end).all():
      continue
    z = np.copy(inside)
    z[1] = end[1] + 0.5 * (end[1] - inside[1])
    assert np.isneginf(law(q).logpdf(z)[1])
    value, slopes = jax.value_and_grad(lambda q, z=z: q.log_prob(z))(q)
    assert np.isneginf(value)
    assert not any(np.isnan(x).any() for x in jax.tree.leaves(slopes))


@every_family
def test_the_density_integrates_to_one(name):
  q = FAMILIES[name]
  z = nodes(law(q)).astype(np.float32)
  density = np.exp(np.asarray(densities(q, z), np.float64))
  mass = np.trapezoid(density, z.astype(np.float64), axis=0)
  np.testing.assert_allclose(mass, 1.0, rtol=1e-5)


@every_reparameterised
def test_log_prob_is_the_change_of_variables(name):
  q = FAMILIES[name]
  z = points(q)
  value = jax.jit(jax.vmap(vd.change_of_variables, (None, 0)))(q, z)
  exact = law(q).logpdf(z.astype(np.float64)).sum(-1)
  np.testing.assert_allclose(value, exact, rtol=1e-5, atol=1e-5)


@every_closed_form
def test_entropy_mean_and_variance_are_scipys(name):
  q = FAMILIES[name]
  exact = law(q).entropy().sum()
  np.testing.assert_allclose(q.entropy(), exact, rtol=1e-5, atol=1e-5)
  exact_mean, exact_variance = law(q).mean(), law(q).var()
  if name == 'StudentT':
    # The integral of z p(z) is inf - inf: scipy says inf.
    exact_mean = np.where(np.asarray(q.df) > 1, exact_mean, np.nan)
  np.testing.assert_allclose(q.mean(), exact_mean, rtol=1e-5)
  np.testing.assert_allclose(q.variance(), exact_variance, rtol=1e-5)
  if name in ('Cauchy', 'StudentT', 'Pareto'):
    assert not np.isfinite(q.variance()[3])


def test_relaxed_bernoulli_has_no_closed_form():
  with pytest.raises(TypeError, match='RelaxedBernoulli has no closed-form'):
    FAMILIES['RelaxedBernoulli'].entropy()


def values(name, q, z):
  """Returns log_prob at z and, where there are any, the closed forms of q."""
  closed = [q.entropy(), q.mean(), q.variance()] if name in CLOSED_FORMS else []
  return [q.log_prob(z), *closed]


@every_family
def test_an_event_may_have_any_shape(name):
  q, z = FAMILIES[name], points(FAMILIES[name])[2]
  grid = jax.tree.map(lambda x: x.reshape(2, 1, 2), q)
  scalars = [jax.tree.map(lambda x, i=i: x[i], q) for i in range(4)]
  for r, shape in [(grid, (2, 1, 2)), (scalars[0], ())]:
    assert r.shape == shape
    assert jax.eval_shape(r.draw, jax.random.key(0)).shape == shape
  flat = values(name, q, z)
  of_grid = values(name, grid, z.reshape(2, 1, 2))
  of_scalars = [values(name, r, x) for r, x in zip(scalars, z, strict=True)]
  for i, (value, wanted) in enumerate(zip(of_grid, flat, strict=True)):
    assert value.shape == (() if i < 2 else grid.shape)
    np.testing.assert_allclose(value.ravel(), wanted.ravel(), rtol=1e-6)
    each = np.array([row[i] for row in of_scalars])
    total = each.sum() if i < 2 else each
    np.testing.assert_allclose(total, wanted, rtol=1e-5)


@pytest.mark.parametrize('name', MANY_PARAMETERS)
def test_parameters_broadcast_against_each_other(name):
  q = FAMILIES[name]
  for field in dataclasses.fields(q):
    number = getattr(q, field.name)[0]
    scalar = dataclasses.replace(q, **{field.name: number})
    full = dataclasses.replace(q, **{field.name: jnp.full(4, number)})
    assert scalar.shape == (4,)
    draw = jax.eval_shape(scalar.draw, jax.random.key(0))
    assert draw.shape == (4,)
    z = points(full)[2]
    for value, wanted in zip(
      values(name, scalar, z), values(name, full, z), strict=True
    ):
      assert value.shape == wanted.shape
      np.testing.assert_allclose(value, wanted, rtol=1e-6)


@every_family
def test_an_event_of_another_shape_is_named(name):
  q = FAMILIES[name]
  with pytest.raises(ValueError, match=r'z has shape \(3,\)'):
    q.log_prob(jnp.full(3, 0.5))
  if name in REPARAMETERISED:
    with pytest.raises(ValueError, match=r'eps has shape \(4, 1\)'):
      q.transform(jnp.full((4, 1), 0.5))


@every_family
def test_draws_follow_the_law(name):
  assert_law(run(name).draws, law(FAMILIES[name]))


@every_family
def test_draws_are_differentiable_in_every_parameter(name):
  q = FAMILIES[name]
  parameters = [np.asarray(x, np.float64) for x in jax.tree.leaves(q)]
  value = lambda parameters: expectation(law_of(type(q), parameters), np.arctan)
  for i, slopes in enumerate(jax.tree.leaves(run(name).slopes)):
    unit = [np.full(4, float(i == j)) for j in range(len(parameters))]
    assert_mean(slopes, directional(value, parameters, unit))


@every_family
def test_log_prob_of_a_draw_and_its_gradient_are_finite(name, key):
  runs = [run(name)]
  if name in EXTREMES:
    runs.append(simulate(EXTREMES[name], key))
  for each in runs:
    assert np.isfinite(each.log_probs).all()
    for slope in jax.tree.leaves(each.log_prob_slopes):
      assert np.isfinite(slope).all()


@every_reparameterised
def test_mirrored_noise_has_the_same_law_and_the_opposite_rank(name):
  noise, exact = run(name).noise, law(FAMILIES[name])
  assert_law(noise.mirrored, exact)
  ranks, opposite, again = (
    exact.cdf(z.astype(np.float64))
    for z in (noise.transformed, noise.mirrored, noise.mirrored_twice)
  )
  np.testing.assert_allclose(again, ranks, atol=1e-6)
  for a, b in zip(ranks.T, opposite.T, strict=True):
    assert np.corrcoef(a, b)[0, 1] < -0.9


@every_reparameterised
def test_inverse_undoes_transform(name):
  noise = run(name).noise
  # Away from the ends, where float32 z has no digits left for eps.
  there = np.abs(noise.eps) < 4
  np.testing.assert_allclose(
    noise.inverse[there], noise.eps[there], rtol=1e-4, atol=1e-5
  )


@every_reparameterised
def test_the_noise_knows_no_parameter(name):
  q = FAMILIES[name]
  other = jax.tree.map(lambda x: 1.3 * x + 0.1, q)
  if name == 'StudentT':
    other = dataclasses.replace(other, df=q.df)
  np.testing.assert_array_equal(
    q.noise(jax.random.key(3)), other.noise(jax.random.key(3))
  )
