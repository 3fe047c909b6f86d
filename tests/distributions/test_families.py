"""Properties of every family of `families.py`."""

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
  IMPLICIT,
  REPARAMETERISED,
  directional,
  expectation,
  nodes,
  simulate,
)
from tests.distributions.scipy_references import reference, reference_of
from tests.helpers import assert_mean

QUANTILES = np.array([0.01, 0.3, 0.5, 0.9, 0.99])
CLOSED_FORMS = [name for name, q in FAMILIES.items() if q.has_entropy]
BOUNDED = [name for name, q in FAMILIES.items() if np.isfinite(reference(q).a)]
MANY_PARAMETERS = [
  name for name, q in FAMILIES.items() if len(jax.tree.leaves(q)) > 1
]

# Four dimensions of 28 distributions are tested at this level: a correct
# library fails about once in ten million runs.
P_VALUE = 1e-9

# The scope makes the tests of a family follow each other, so that one worker
# computes what they share.
every_family = pytest.mark.parametrize('name', FAMILIES, scope='module')
every_reparameterised = pytest.mark.parametrize(
  'name', REPARAMETERISED, scope='module'
)


def points(q):
  """Returns `[5, *event]`, from tail to tail."""
  return reference(q).ppf(QUANTILES[:, None]).astype(np.float32)


def outside(q):
  """Returns events whose dimension 1 is beyond a finite end of the support."""
  inside, events = points(q)[2], []
  for end in reference(q).support():
    if np.isfinite(end).any():
      z = np.copy(inside)
      z[1] = end[1] + 0.5 * (end[1] - inside[1])
      events.append(z)
  return np.array(events, np.float32).reshape(-1, 4)


def shared(q, name, shape):
  """Returns q with one field cut to its first number, given that shape."""
  number = jnp.broadcast_to(getattr(q, name)[0], shape)
  return dataclasses.replace(q, **{name: number})


def values(q, z):
  """Returns log_prob at z and the closed forms of q, if it has them."""
  closed = [q.entropy(), q.mean(), q.variance()] if q.has_entropy else []
  return [q.log_prob(z), *closed]


@jax.jit
def program(q, at_nodes, at_points, beyond):
  """Returns all that the tests ask of one family but its draws."""
  over_draws = lambda f, z: jax.vmap(f, (None, 0))(q, z)
  z = at_points[2]
  fields = [field.name for field in dataclasses.fields(q)]
  # q itself, and q with all dimensions of one field sharing the first number.
  batch = [q, *(shared(q, name, (4,)) for name in fields)]
  batch = jax.tree.map(lambda *x: jnp.stack(x), *batch)
  found = {
    # The log-density of each dimension, `[N, *event]`.
    'densities': over_draws(jax.vmap(lambda q, z: q.log_prob(z)), at_nodes),
    'outside': over_draws(
      jax.value_and_grad(lambda q, z: q.log_prob(z)), beyond
    ),
    'full': jax.vmap(values, (0, None))(batch, z),
    'grid': values(
      jax.tree.map(lambda x: x.reshape(2, 1, 2), q), z.reshape(2, 1, 2)
    ),
    'scalars': jax.vmap(values)(q, z),
    'scalar fields': [
      values(shared(q, name, ()), z) for name in fields if len(fields) > 1
    ],
  }
  if type(q).__name__ in REPARAMETERISED:
    found['changed'] = over_draws(vd.change_of_variables, at_points)
  return found


@functools.cache
def computed(name):
  q = FAMILIES[name]
  at_nodes = nodes(reference(q)).astype(np.float32)
  found = program(q, at_nodes, points(q), outside(q))
  return jax.tree.map(np.asarray, found)


def num_draws(name):
  # Samplers with rejection are slow.
  return 10_000 if name in (*IMPLICIT, 'StudentT') else 20_000


@functools.cache
def run(name):
  seed = zlib.crc32(name.encode())
  return simulate(FAMILIES[name], jax.random.key(seed), num_draws(name))


def assert_distribution(draws, exact):
  p = [
    stats.kstest(draw, lambda z, i=i: exact.cdf(z[:, None])[:, i]).pvalue
    for i, draw in enumerate(draws.T.astype(np.float64))
  ]
  assert min(p) > P_VALUE, f'p = {p}'


@pytest.mark.quick('Normal', 'Uniform')
@every_family
def test_log_prob_matches_scipy(name):
  exact = reference(FAMILIES[name])
  z = nodes(exact).astype(np.float32)
  # Further out float32 loses digits that an end of the support depends on.
  with np.errstate(all='ignore'):
    central = np.abs(exact.cdf(z) - 0.5) < 0.499
    log_prob = exact.logpdf(z.astype(np.float64))
  np.testing.assert_allclose(
    computed(name)['densities'][central],
    log_prob[central],
    rtol=1e-5,
    atol=1e-5,
  )


@pytest.mark.quick('Uniform', 'Pareto', 'RelaxedBernoulli', 'Weibull')
@pytest.mark.parametrize('name', BOUNDED, scope='module')
def test_log_prob_is_minus_infinity_outside_the_support(name):
  value, slopes = computed(name)['outside']
  beyond = outside(FAMILIES[name])
  assert len(beyond) > 0
  with np.errstate(all='ignore'):
    assert np.isneginf(reference(FAMILIES[name]).logpdf(beyond)[:, 1]).all()
  assert np.isneginf(value).all()
  assert not any(np.isnan(x).any() for x in jax.tree.leaves(slopes))


@pytest.mark.quick('Normal', 'Logistic', 'Uniform', 'Pareto', 'Gamma')
@every_family
def test_density_integrates_to_one(name):
  z = nodes(reference(FAMILIES[name])).astype(np.float32)
  density = np.exp(computed(name)['densities'].astype(np.float64))
  mass = np.trapezoid(density, z.astype(np.float64), axis=0)
  np.testing.assert_allclose(mass, 1.0, rtol=1e-5)


@pytest.mark.quick(
  'Normal', 'Logistic', 'Uniform', 'Pareto', 'LogNormal', 'RelaxedBernoulli'
)
@every_reparameterised
def test_log_prob_equals_change_of_variables(name):
  q = FAMILIES[name]
  exact = reference(q).logpdf(points(q).astype(np.float64)).sum(-1)
  np.testing.assert_allclose(
    computed(name)['changed'], exact, rtol=1e-5, atol=1e-5
  )


@pytest.mark.quick(
  'Normal', 'Logistic', 'Gumbel', 'StudentT', 'Weibull', 'Pareto', 'Gamma'
)
@pytest.mark.parametrize('name', CLOSED_FORMS, scope='module')
def test_entropy_mean_and_variance_match_scipy(name):
  q = FAMILIES[name]
  _, entropy, mean, variance = (x[0] for x in computed(name)['full'])
  exact = reference(q)
  np.testing.assert_allclose(
    entropy, exact.entropy().sum(), rtol=1e-5, atol=1e-5
  )
  exact_mean = exact.mean()
  if name == 'StudentT':
    # The integral of z p(z) is inf - inf: scipy returns inf.
    exact_mean = np.where(np.asarray(q.df) > 1, exact_mean, np.nan)
  np.testing.assert_allclose(mean, exact_mean, rtol=1e-5)
  np.testing.assert_allclose(variance, exact.var(), rtol=1e-5)
  if name in ('Cauchy', 'StudentT', 'Pareto'):
    assert not np.isfinite(variance[3])


def test_relaxed_bernoulli_has_no_closed_form():
  assert set(FAMILIES) - set(CLOSED_FORMS) == {'RelaxedBernoulli'}
  with pytest.raises(TypeError, match='RelaxedBernoulli has no closed-form'):
    FAMILIES['RelaxedBernoulli'].entropy()


@every_family
def test_event_may_have_any_shape(name):
  q = FAMILIES[name]
  grid = jax.tree.map(lambda x: x.reshape(2, 1, 2), q)
  scalar = jax.tree.map(lambda x: x[0], q)
  for r, shape in [(grid, (2, 1, 2)), (scalar, ())]:
    assert r.shape == shape
    assert jax.eval_shape(r.draw, jax.random.key(0)).shape == shape
  found = computed(name)
  for i, (full, of_grid, of_scalars) in enumerate(
    zip(found['full'], found['grid'], found['scalars'], strict=True)
  ):
    assert of_grid.shape == (() if i < 2 else grid.shape)
    flat = full[0]
    np.testing.assert_allclose(of_grid.ravel(), flat.ravel(), rtol=1e-6)
    assert of_scalars.shape == (4,)
    total = of_scalars.sum() if i < 2 else of_scalars
    np.testing.assert_allclose(total, flat, rtol=1e-5)


@pytest.mark.parametrize('name', MANY_PARAMETERS, scope='module')
def test_parameters_broadcast_against_each_other(name):
  q = FAMILIES[name]
  found = computed(name)
  for i, field in enumerate(dataclasses.fields(q)):
    scalar = shared(q, field.name, ())
    assert scalar.shape == (4,)
    draw = jax.eval_shape(scalar.draw, jax.random.key(0))
    assert draw.shape == (4,)
    for value, full in zip(
      found['scalar fields'][i], found['full'], strict=True
    ):
      assert value.shape == full.shape[1:]
      np.testing.assert_allclose(value, full[1 + i], rtol=1e-6)


@every_family
def test_event_of_another_shape_is_refused(name):
  q = FAMILIES[name]
  with pytest.raises(ValueError, match=r'z has shape \(3,\)'):
    q.log_prob(jnp.full(3, 0.5))
  if name in REPARAMETERISED:
    with pytest.raises(ValueError, match=r'eps has shape \(4, 1\)'):
      q.transform(jnp.full((4, 1), 0.5))


@pytest.mark.quick('Normal', 'Uniform')
@every_family
def test_draws_follow_the_distribution(name):
  assert_distribution(run(name).draws, reference(FAMILIES[name]))


@pytest.mark.quick('Normal', 'Logistic', 'Uniform', 'Pareto', 'Gamma')
@every_family
def test_draws_are_differentiable_in_every_parameter(name):
  q = FAMILIES[name]
  parameters = [np.asarray(x, np.float64) for x in jax.tree.leaves(q)]
  value = lambda parameters: expectation(
    reference_of(type(q), parameters), np.arctan
  )
  for i, slopes in enumerate(jax.tree.leaves(run(name).slopes)):
    unit = [np.full(4, float(i == j)) for j in range(len(parameters))]
    assert_mean(slopes, directional(value, parameters, unit))


@pytest.mark.quick(
  'Normal', 'Cauchy', 'Pareto', 'Uniform', 'RelaxedBernoulli', 'Gamma'
)
@every_family
def test_log_prob_of_a_draw_and_its_gradient_are_finite(name, key):
  runs = [run(name)]
  if name in EXTREMES:
    runs.append(simulate(EXTREMES[name], key, num_draws(name)))
  for each in runs:
    assert np.isfinite(each.log_probs).all()
    for slope in jax.tree.leaves(each.log_prob_slopes):
      assert np.isfinite(slope).all()


@every_reparameterised
def test_antithetic_noise_has_the_distribution_and_opposite_rank(name):
  noise, exact = run(name).noise, reference(FAMILIES[name])
  assert_distribution(noise.mirrored, exact)
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
  # Near the ends float32 z has no digits left for eps.
  central = np.abs(noise.eps) < 4
  np.testing.assert_allclose(
    noise.inverse[central], noise.eps[central], rtol=1e-4, atol=1e-5
  )


@every_reparameterised
def test_noise_is_independent_of_the_parameters(name):
  q = FAMILIES[name]
  other = jax.tree.map(lambda x: 1.3 * x + 0.1, q)
  if name == 'StudentT':
    other = dataclasses.replace(other, df=q.df)
  np.testing.assert_array_equal(
    q.noise(jax.random.key(3)), other.noise(jax.random.key(3))
  )
