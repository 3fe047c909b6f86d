"""Parameters outside their domain, and lists of numbers as parameters."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.distributions.families import FAMILIES
from vae_jax.distributions import has_kl

# A parameter that may not be 0 or below, and the other parameters.
POSITIVE = [
  (vj.Gamma, 'concentration', {'log_rate': 0.0}),
  (vj.Beta, 'concentration1', {'concentration0': 1.0}),
  (vj.Beta, 'concentration0', {'concentration1': 1.0}),
  (vj.Weibull, 'concentration', {'log_scale': 0.0}),
  (vj.Pareto, 'concentration', {'log_scale': -3.0}),
  (vj.StudentT, 'df', {'loc': 0.0, 'log_scale': 0.0}),
  (vj.RelaxedBernoulli, 'temperature', {'logits': 0.0}),
  (vj.RelaxedCategorical, 'temperature', {'logits': jnp.zeros(3)}),
]
positive = pytest.mark.parametrize(('family', 'name', 'others'), POSITIVE)


@positive
@pytest.mark.parametrize('value', [0.0, -1.0, np.array([2.0, -0.5])])
def test_concrete_parameters_outside_their_domain_are_refused(
  family, name, others, value
):
  message = rf'{family.__name__}: {name} is (0|-1|-0.5), must be above 0$'
  with pytest.raises(ValueError, match=message):
    family(**{name: value}, **others)


@pytest.mark.quick('RelaxedBernoulli', 'Pareto', 'RelaxedCategorical')
@pytest.mark.parametrize('family', dict.fromkeys(row[0] for row in POSITIVE))
def test_traced_parameters_outside_their_domain_give_nan(family):
  """In one program: of two such parameters, each is outside in turn."""
  names = [name for make, name, _ in POSITIVE if make is family]
  others = {
    k: v
    for make, _, row in POSITIVE
    if make is family
    for k, v in row.items()
    if k not in names
  }

  def values(positive):
    q = family(**dict(zip(names, positive, strict=True)), **others)
    with jax.debug_key_reuse(False):
      moments = [q.mean(), q.variance()] if q.has_moments else []
      entropy = [q.entropy()] if q.has_entropy else []
      z = jnp.full(q.shape, 1 / 3)  # Also a point of the simplex of three.
      draw = vj.sample(jax.random.key(0), q)
    return [q.log_prob(z), jnp.sum(draw), *moments, *entropy]

  points = jnp.array([[5.0, 1.0], [-1.0, 1.0], [5.0, -1.0]])
  points = points[: 1 + len(names), : len(names)]
  slopes = jax.vmap(jax.grad(lambda positive: values(positive)[0]))
  found, slope = jax.jit(lambda x: (jax.vmap(values)(x), slopes(x)))(points)
  for inside, *outside in map(np.asarray, found):
    assert np.isfinite(inside)
    assert np.isnan(outside).all()
  assert np.isfinite(slope[0]).all()
  for i in range(len(names)):
    assert np.isnan(slope[1 + i, i])


# Parameters that an optimizer, a pytree map, has moved outside the domain.
OUTSIDE = [family(**{name: 1.0}, **rest) for family, name, rest in POSITIVE]
OUTSIDE.append(vj.Uniform(jnp.zeros(2), 1.0))
PAIRS = [*zip(OUTSIDE, [*POSITIVE, None], strict=True)]
IDS = [f'{q.name} {i}' for i, q in enumerate(OUTSIDE)]


@pytest.mark.slow
@pytest.mark.parametrize(('q', 'row'), PAIRS, ids=IDS)
def test_parameters_that_a_pytree_map_moved_outside_are_seen(q, row):
  name = row[1] if row else 'high'
  leaves, structure = jax.tree.flatten(q)
  fields = [field.name for field in dataclasses.fields(q)]
  leaves[fields.index(name)] = -1.0
  moved = jax.tree.unflatten(structure, leaves)
  z = jnp.full(q.shape, 0.25)
  message = rf'{q.name}: {name} is -1, must be above'
  calls = [lambda q: q.log_prob(z), lambda q: vj.sample(jax.random.key(0), q)]
  if q.has_entropy:
    calls.append(lambda q: q.entropy())
  for call in calls:
    with pytest.raises(ValueError, match=message):
      call(moved)
  traced = jax.jit(lambda q: [jnp.asarray(call(q)) for call in calls])
  assert all(np.isnan(x).all() for x in traced(moved))
  if has_kl(q, q):
    for pair in [(moved, q), (q, moved)]:
      with pytest.raises(ValueError, match=message):
        vj.kl(*pair)


def test_replaced_and_weakly_differentiated_parameters_are_seen():
  q = vj.Gamma(2.0, 0.0)
  with pytest.raises(ValueError, match='concentration is -1'):
    dataclasses.replace(q, concentration=-1.0)
  moved = jax.tree.map(lambda x: x - 3, q)
  estimate = lambda q: vj.measure_valued(jax.random.key(0), q, jnp.sin)
  with pytest.raises(ValueError, match='concentration is -1'):
    estimate(moved)
  assert np.isnan(jax.jit(estimate)(moved))


@pytest.mark.parametrize(
  ('family', 'logits'),
  [
    (vj.RelaxedBernoulli, [0.0, jnp.inf]),
    (vj.RelaxedBernoulli, [0.0, -jnp.inf]),
    (vj.RelaxedCategorical, [0.0, 1.0, -jnp.inf]),
  ],
)
def test_relaxed_families_have_no_density_at_infinite_logits(family, logits):
  with pytest.raises(ValueError, match=r'logits is -?inf, must be finite'):
    family(0.5, logits)

  @jax.jit
  def values(logits):
    q = family(0.5, logits)
    z = vj.sample(jax.random.key(0), q)
    return q.log_prob(z), q.log_prob(jnp.full(q.shape, 0.3)), jnp.sum(z)

  assert np.isnan(values(jnp.array(logits))).all()


def test_a_traced_scale_whose_diagonal_is_not_positive_is_nan():
  """As its constructor refuses a concrete one."""

  @jax.jit
  def values(diagonal):
    q = vj.MultivariateNormal(jnp.zeros(2), jnp.diag(diagonal))
    z = vj.sample(jax.random.key(0), q)
    return q.log_prob(jnp.zeros(2)), q.entropy(), jnp.sum(z), q.variance()[1]

  assert np.isfinite(values(jnp.array([1.0, 2.0]))).all()
  for wrong in (-2.0, 0.0):
    assert np.isnan(values(jnp.array([1.0, wrong]))).all()


def test_an_interval_without_length_is_refused():
  for low, high in [(1, 0), (2.0, 2.0), (np.zeros(2), np.array([1.0, 0.0]))]:
    with pytest.raises(
      ValueError, match=r'Uniform: high is .*, must be above low'
    ):
      vj.Uniform(low, high)

  @jax.jit
  def values(high):
    q = vj.Uniform(1.0, high)
    return q.log_prob(jnp.array(0.5)), q.mean(), vj.sample(jax.random.key(0), q)

  assert np.isnan(values(0.0)).all()


@pytest.mark.slow
def test_values_are_checked_inside_grad_and_not_in_pytrees():
  with pytest.raises(ValueError, match=r'Gamma: concentration is -0\.5'):
    jax.grad(lambda a: vj.Gamma(a, 0.0).log_prob(1.0))(-0.5)
  # A gradient, axes and shapes are trees of the same type as the parameters.
  q = vj.Gamma(2.0, 0.0)
  negative = jax.tree.map(lambda x: -x, q)
  assert negative.concentration == -2.0
  assert jax.jit(lambda q: q)(negative).concentration == -2.0
  slope = jax.grad(lambda q: q.log_prob(9.0))(vj.Gamma(20.0, 0.0))
  assert slope.concentration < 0
  assert vj.Gamma(None, 0).concentration is None
  assert np.isnan(vj.Gamma(jnp.nan, 0.0).concentration)


@pytest.mark.parametrize('name', FAMILIES)
def test_a_list_for_a_parameter_is_an_array(name, key):
  q = FAMILIES[name]
  leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(q)]
  for convert in (list, tuple):
    listed = type(q)(*[convert(map(float, leaf)) for leaf in leaves])
    assert listed.shape == q.shape == (4,)
    jax.tree.map(np.testing.assert_array_equal, listed, q)


def test_a_list_draws_independent_noise_and_has_the_entropy_of_both():
  q = vj.Normal([0.0, 1.0], 0.0)
  np.testing.assert_allclose(q.entropy(), 2 * vj.Normal(0.0, 0.0).entropy())
  z = vj.sample_many(jax.random.key(0), q, 4000)
  assert abs(np.corrcoef(z.T)[0, 1]) < 6 / np.sqrt(4000)
  traced = jax.jit(lambda x: jax.tree.leaves(vj.Normal([x, 2 * x], 0.0)))(1.0)
  np.testing.assert_array_equal(traced[0], [1.0, 2.0])


def test_lists_of_matrices_and_logits_are_arrays():
  q = vj.MultivariateNormal([0.0, 1.0], [[1.0, 0.0], [0.5, 2.0]])
  assert [jnp.shape(x) for x in jax.tree.leaves(q)] == [(2,), (2, 2)]
  for family in (vj.Categorical, vj.Bernoulli, vj.ContinuousBernoulli):
    (logits,) = jax.tree.leaves(family([0.0, 1.0, 2.0]))
    assert logits.shape == (3,)
  chain = vj.Chain(a=vj.Normal([0.0, 1.0], 0.0), b=vj.Exponential([0.0] * 3))
  assert chain.shape == {'a': (2,), 'b': (3,)}


def test_a_users_list_of_layers_stays_a_list():
  @vj.distribution
  class Flow(vj.Distribution):
    layers: list[jax.Array]
    loc: jax.Array

  q = Flow([jnp.zeros(2), jnp.zeros(3)], [0.0, 1.0])
  assert isinstance(q.layers, list)
  assert q.loc.shape == (2,)
