import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import vae_jax.distributions as vd
from tests.distributions.families import (
  FAMILIES,
  directional,
  expectation,
)
from tests.distributions.scipy_references import reference_of
from vae_jax.distributions.kl import _CLOSED_FORMS

_LOC = jnp.array([0.5, 0.0, -1.0, 0.2])
_LOG_SCALE = jnp.array([0.4, -1.0, 1.0, -0.2])

# The distribution p of each family in `FAMILIES`.
PRIORS = {
  'Normal': vd.Normal(_LOC, _LOG_SCALE),
  'Laplace': vd.Laplace(_LOC, _LOG_SCALE),
  'Cauchy': vd.Cauchy(_LOC, _LOG_SCALE),
  'Gumbel': vd.Gumbel(_LOC, _LOG_SCALE),
  'LogNormal': vd.LogNormal(_LOC, _LOG_SCALE),
  'Exponential': vd.Exponential(_LOG_SCALE),
  'Weibull': vd.Weibull(jnp.array([1.2, 0.9, 2.0, 0.7]), _LOG_SCALE),
  'Rayleigh': vd.Rayleigh(_LOG_SCALE),
  'Pareto': vd.Pareto(jnp.array([2.0, 3.0, 1.0, 0.5]), _LOG_SCALE - 2),
  'Uniform': vd.Uniform(
    jnp.array([-1.5, -0.1, 0.0, -3.5]), jnp.array([1.2, 0.6, 8.0, 9.0])
  ),
  'Gamma': vd.Gamma(jnp.array([1.5, 0.7, 2.0, 6.0]), _LOG_SCALE),
  'Beta': vd.Beta(
    jnp.array([1.2, 0.7, 2.0, 3.0]), jnp.array([0.9, 3.0, 1.5, 2.0])
  ),
}
ELEMENTWISE = {name: (FAMILIES[name], p) for name, p in PRIORS.items()} | {
  'Gamma to Exponential': (FAMILIES['Gamma'], PRIORS['Exponential']),
  'Exponential to Gamma': (FAMILIES['Exponential'], PRIORS['Gamma']),
}

_C = jnp.array([[1.5, 0.0, 0.0], [-0.7, 0.4, 0.0], [0.2, 1.1, 0.9]])
_DIAGONAL = vd.Normal(jnp.array([0.3, -0.2, 1.0]), jnp.array([0.5, -0.3, 0.0]))
_TRIANGULAR = vd.MultivariateNormal(jnp.array([0.5, -1.0, 2.0]), _C)
_GENERAL = vd.MultivariateNormal(
  jnp.zeros(3), 0.8 * _C[jnp.array([1, 0, 2])].T, triangular=False
)
MULTIVARIATE = {
  'triangular to general': (_TRIANGULAR, _GENERAL),
  'general to triangular': (_GENERAL, _TRIANGULAR),
  'diagonal to triangular': (_DIAGONAL, _TRIANGULAR),
  'general to diagonal': (_GENERAL, _DIAGONAL),
}

DISCRETE = {
  'Bernoulli': (
    vd.Bernoulli(jnp.array([0.5, -1.0, 3.0])),
    vd.Bernoulli(jnp.array([-2.0, 1.0, 2.5])),
  ),
  'Categorical': (
    vd.Categorical(jnp.array([[0.3, -1.0, 2.0], [0.0, 0.1, 0.2]])),
    vd.Categorical(jnp.array([[1.0, 0.5, -0.3], [2.0, 1.1, 0.0]])),
  ),
}
PAIRS = ELEMENTWISE | MULTIVARIATE | DISCRETE

# At q = p their divergence is infinite on one side.
KINKED = ('Pareto', 'Uniform')

value_and_slopes = jax.jit(jax.value_and_grad(vd.kl, (0, 1)))


def test_every_closed_form_is_covered():
  tested = {(type(q), type(p)) for q, p in PAIRS.values()}
  # Those of a LowRankNormal are compared in its own tests.
  own = {pair for pair in _CLOSED_FORMS if vd.LowRankNormal in pair}
  assert tested == set(_CLOSED_FORMS) - own


def leaves(q):
  return [np.asarray(x, np.float64) for x in jax.tree.leaves(q)]


def elementwise(q, p):
  """Returns KL as a function of the parameters of both, by quadrature."""
  count = len(jax.tree.leaves(q))

  def value(parameters):
    of_q = reference_of(type(q), parameters[:count])
    of_p = reference_of(type(p), parameters[count:])
    return expectation(of_q, lambda z: of_q.logpdf(z) - of_p.logpdf(z)).sum()

  return value


@pytest.mark.quick(
  'Normal', 'Uniform', 'Exponential', 'Rayleigh', 'LogNormal', 'Pareto'
)
@pytest.mark.parametrize('name', ELEMENTWISE)
def test_kl_and_its_gradient_match_quadrature(name):
  q, p = ELEMENTWISE[name]
  value, slopes = value_and_slopes(q, p)
  assert value.shape == ()
  exact = elementwise(q, p)
  parameters = leaves(q) + leaves(p)
  np.testing.assert_allclose(value, exact(parameters), rtol=1e-4)
  random = np.random.default_rng(0)
  directions = [random.normal(size=4) for _ in parameters]
  along = sum(
    np.sum(slope * direction)
    for slope, direction in zip(leaves(slopes), directions, strict=True)
  )
  derivative = directional(exact, parameters, directions)
  np.testing.assert_allclose(along, derivative, rtol=1e-3)


def normal_reference(q):
  if isinstance(q, vd.Normal):
    c = np.diag(np.exp(np.asarray(q.log_scale, np.float64)))
  else:
    c = np.asarray(q.scale_tril, np.float64)
  return c, stats.multivariate_normal(np.asarray(q.mean()), c @ c.T)


@pytest.mark.parametrize('name', MULTIVARIATE)
def test_kl_of_multivariate_normals_matches_quadrature(name):
  q, p = MULTIVARIATE[name]
  (c, of_q), (_, of_p) = normal_reference(q), normal_reference(p)
  # Gauss-Hermite: exact, as the log-ratio is quadratic.
  x, w = np.polynomial.hermite_e.hermegauss(2)
  eps = np.array(list(itertools.product(x, repeat=3)))
  weights = np.prod(list(itertools.product(w / w.sum(), repeat=3)), axis=-1)
  z = of_q.mean + eps @ c.T
  exact = weights @ (of_q.logpdf(z) - of_p.logpdf(z))
  value, slopes = value_and_slopes(q, p)
  np.testing.assert_allclose(value, exact, rtol=1e-5)
  assert all(np.isfinite(x).all() for x in leaves(slopes))


@pytest.mark.parametrize('name', DISCRETE)
def test_kl_of_discrete_families_matches_the_sum(name):
  q, p = DISCRETE[name]
  if name == 'Bernoulli':
    of_q, of_p = (
      np.stack([special.expit(-d.logits), special.expit(d.logits)])
      for d in (q, p)
    )
  else:
    of_q, of_p = (special.softmax(d.logits, axis=-1) for d in (q, p))
  value, slopes = value_and_slopes(q, p)
  exact = special.rel_entr(of_q, of_p).sum()
  np.testing.assert_allclose(value, exact, rtol=1e-5)
  assert all(np.isfinite(x).all() for x in leaves(slopes))


@pytest.mark.quick('Normal', 'Laplace', 'Bernoulli', 'Gamma')
@pytest.mark.parametrize('name', PAIRS)
def test_kl_of_equal_distributions_is_a_zero_minimum(name):
  for q in PAIRS[name]:
    value, slopes = value_and_slopes(q, q)
    np.testing.assert_allclose(value, 0.0, atol=2e-5)
    if name not in KINKED:
      for slope in leaves(slopes):
        np.testing.assert_allclose(slope, 0.0, atol=2e-5)


def test_kl_to_the_standard_normal_matches_the_vae_formula():
  q = FAMILIES['Normal']
  mean, variance = np.asarray(q.loc), np.exp(2 * np.asarray(q.log_scale))
  exact = 0.5 * np.sum(mean**2 + variance - np.log(variance) - 1)
  p = vd.Normal(jnp.zeros(4), 0.0)
  np.testing.assert_allclose(vd.kl(q, p), exact, rtol=1e-6)


@pytest.mark.quick('Normal', 'Laplace', 'Weibull', 'Uniform')
@pytest.mark.parametrize('name', PRIORS)
def test_parameters_broadcast_against_each_other(name):
  q, p = ELEMENTWISE[name]
  flat, tree = jax.tree.flatten(q)
  for i in range(1, len(flat)):
    shared = [x[0] if i == j else x for j, x in enumerate(flat)]
    spread = [jnp.full(4, x[0]) if i == j else x for j, x in enumerate(flat)]
    for pair in [
      lambda r: (jax.tree.unflatten(tree, r), p),
      lambda r: (p, jax.tree.unflatten(tree, r)),
    ]:
      np.testing.assert_allclose(
        vd.kl(*pair(shared)), vd.kl(*pair(spread)), rtol=1e-6
      )


@pytest.mark.parametrize(
  'q',
  [
    vd.Pareto(jnp.array([2.0, 3.0]), jnp.array([1.0, -0.1])),
    vd.Uniform(jnp.array([0.2, -0.1]), jnp.array([0.5, 0.5])),
    vd.Uniform(jnp.array([0.2, 0.1]), jnp.array([0.5, 1.1])),
  ],
)
def test_kl_is_infinite_where_p_does_not_cover_the_support(q):
  p = vd.Pareto(1.0, jnp.zeros(2))
  if isinstance(q, vd.Uniform):
    p = vd.Uniform(jnp.zeros(2), 1.0)
  value, slopes = value_and_slopes(q, p)
  assert value == np.inf
  assert not any(np.isnan(x).any() for x in leaves(slopes))


SCALED = {
  'Normal': lambda s: vd.Normal(0.0, s),
  'Laplace': lambda s: vd.Laplace(0.0, s),
  'Cauchy': lambda s: vd.Cauchy(0.0, s),
  'Exponential': lambda s: vd.Exponential(s),
  'Rayleigh': lambda s: vd.Rayleigh(s),
  'LogNormal': lambda s: vd.LogNormal(0.0, s),
  'Gamma': lambda s: vd.Gamma(2.0, s),
  'Weibull': lambda s: vd.Weibull(2.0, s),
}


@pytest.mark.parametrize('name', SCALED)
def test_kl_and_its_gradient_are_finite_at_extreme_scales(name):
  kl = lambda s: vd.kl(SCALED[name](s), SCALED[name](0.0))
  both = jax.jit(jax.vmap(jax.value_and_grad(kl)))
  values, slopes = both(jnp.array([-30.0, 30.0]))
  assert np.isfinite(values).all()
  assert np.isfinite(slopes).all()
  assert np.all(np.asarray(values) > 20.0)


def test_kl_of_cauchys_does_not_overflow():
  value, (slope, _) = value_and_slopes(
    vd.Cauchy(0.0, 30.0), vd.Cauchy(1e3, -30.0)
  )
  np.testing.assert_allclose(value, 60 - np.log(4), rtol=1e-5)
  np.testing.assert_allclose(slope.log_scale, 1.0, rtol=1e-5)


@pytest.mark.quick('90.0')
@pytest.mark.parametrize('logit', [-90.0, 90.0])
def test_kl_of_bernoullis_is_exact_at_any_logit(logit):
  kl = lambda a, b: vd.kl(vd.Bernoulli(a), vd.Bernoulli(b))
  value, slopes = jax.value_and_grad(kl, (0, 1))(logit, -logit)
  np.testing.assert_allclose(value, 90.0, rtol=1e-6)
  np.testing.assert_allclose(slopes[1], -np.sign(logit), rtol=1e-6)
  np.testing.assert_allclose(kl(logit, logit), 0.0, atol=1e-6)


def test_labels_without_mass_in_q_contribute_zero():
  q = vd.Categorical(jnp.array([0.3, -jnp.inf, 1.0, -jnp.inf]))
  p = vd.Categorical(jnp.array([0.1, 2.0, -1.0, -jnp.inf]))
  value, slopes = value_and_slopes(q, p)
  of_q, of_p = (special.softmax(np.asarray(d.logits)) for d in (q, p))
  np.testing.assert_allclose(
    value, special.rel_entr(of_q, of_p).sum(), rtol=1e-5
  )
  assert all(np.isfinite(x).all() for x in leaves(slopes))
  np.testing.assert_allclose(slopes[1].logits, of_p - of_q, atol=1e-6)


def test_kl_is_infinite_where_p_has_no_mass_at_a_label_of_q():
  q = vd.Categorical(jnp.array([0.3, 1.0]))
  assert vd.kl(q, vd.Categorical(jnp.array([0.0, -jnp.inf]))) == np.inf


def test_kl_of_narrow_normals_far_from_zero_is_exact():
  scale = 1e-3 * jnp.array([[1.0, 0.0], [0.5, 2.0]])
  q = vd.MultivariateNormal(jnp.full(2, 1000.0), scale)
  p = vd.MultivariateNormal(jnp.full(2, 1000.0), 2 * scale)
  np.testing.assert_allclose(vd.kl(q, q), 0.0, atol=1e-6)
  exact = 0.5 * (2 / 4 - 2) + 2 * np.log(2)
  np.testing.assert_allclose(vd.kl(q, p), exact, rtol=1e-5)


def test_kl_under_vmap_equals_a_loop():
  one = jax.jit(vd.kl)
  loop = [
    one(*(jax.tree.map(lambda x, i=i: x[i], d) for d in PAIRS['Gamma']))
    for i in range(4)
  ]
  whole = jax.jit(jax.vmap(vd.kl))(*PAIRS['Gamma'])
  np.testing.assert_allclose(whole, loop, rtol=1e-5)


def test_pair_without_closed_form_is_refused():
  with pytest.raises(
    TypeError, match=r"KL\(Normal \|\| Bernoulli\).*'entropy'"
  ):
    vd.kl(vd.Normal(0.0, 0.0), vd.Bernoulli(0.0))


@pytest.mark.parametrize(
  ('q', 'p', 'message'),
  [
    (vd.Normal(jnp.zeros(2), 0.0), vd.Normal(jnp.zeros(3), 0.0), 'shape'),
    (vd.Normal(jnp.zeros((2, 3)), 0.0), _TRIANGULAR, 'shape'),
    (vd.Normal(0.0, 0.0), _TRIANGULAR, 'shape'),
    (vd.Gamma(1.0, jnp.zeros(2)), vd.Exponential(0.0), 'shape'),
    (
      vd.Categorical(jnp.zeros((2, 3))),
      vd.Categorical(jnp.zeros((2, 4))),
      'q has 3 categories and p has 4',
    ),
  ],
)
def test_events_of_different_shape_are_refused(q, p, message):
  with pytest.raises(ValueError, match=message):
    vd.kl(q, p)


def test_kl_per_dimension_matches_each_dimension():
  q = vd.Normal(jnp.array([0.3, -1.0]), jnp.float32(0.2))
  p = vd.Normal(jnp.zeros(2), jnp.array([0.0, 0.5]))
  parts = vd.kl_per_dimension(q, p)
  alone = [
    vd.kl(vd.Normal(q.loc[i], 0.2), vd.Normal(0.0, p.log_scale[i]))
    for i in range(2)
  ]
  np.testing.assert_allclose(parts, alone, rtol=1e-5)
  np.testing.assert_allclose(jnp.sum(parts), vd.kl(q, p), rtol=1e-6)


def test_kl_per_dimension_of_dependent_dimensions_is_refused():
  q = vd.MultivariateNormal(jnp.zeros(2), jnp.eye(2))
  with pytest.raises(TypeError, match='is not a sum over dimensions'):
    vd.kl_per_dimension(q, vd.Normal(jnp.zeros(2), 0.0))


def test_kl_of_nearly_equal_normals_keeps_its_digits():
  q = vd.Normal(jnp.zeros(100_000), jnp.full(100_000, 2.6e-4))
  step = np.float64(np.float32(2.6e-4))
  exact = 100_000 * (np.expm1(2 * step) / 2 - step)
  np.testing.assert_allclose(vd.kl(q, vd.Normal(q.loc, 0.0)), exact, rtol=1e-5)


def moved(q, step):
  """Returns q with every second parameter up, the others down."""
  flat, tree = jax.tree.flatten(q)
  signs = [-1, 1] * 2
  flat = [x + a * step * abs(x) for x, a in zip(flat, signs, strict=False)]
  return jax.tree.unflatten(tree, flat)


@pytest.mark.quick('Normal')
@pytest.mark.parametrize(
  'name', [n for n in PAIRS if 'Gamma' not in n and n != 'Beta']
)
def test_kl_of_nearly_equal_distributions_is_not_negative(name):
  for q in PAIRS[name]:
    for step in (1e-6, 1e-4):
      p = moved(q, step)
      if name == 'Pareto':
        p = vd.Pareto(p.concentration, q.log_scale - step)
      value = value_and_slopes(q, p)[0]
      with jax.enable_x64(True):
        both = jax.tree.map(lambda x: np.asarray(x, np.float64), (q, p))
        exact = float(vd.kl(*both))
      assert value >= 0
      # A covariance that is not triangular is factorised, to 1e-7.
      rounding = 1e-6 * np.sqrt(exact) if 'general' in name else 0
      np.testing.assert_allclose(value, exact, rtol=1e-4, atol=rounding)


def test_kl_of_laplaces_at_extreme_scales():
  kl = lambda *x: vd.kl(vd.Laplace(*x[:2]), vd.Laplace(*x[2:]))
  kl = jax.jit(jax.value_and_grad(kl, (0, 1, 2, 3)))
  value, slopes = kl(0.0, -89.0, 0.0, 0.0)
  np.testing.assert_allclose(value, 88.0, rtol=1e-6)
  np.testing.assert_allclose(slopes, [0, -1, 0, 1], atol=1e-6)
  value, slopes = kl(0.3, 30.0, 5.0, -30.0)
  np.testing.assert_allclose(value, np.exp(60.0), rtol=1e-5)
  np.testing.assert_allclose(slopes[1], np.exp(60.0), rtol=1e-5)
  np.testing.assert_allclose(slopes[3], -np.exp(60.0), rtol=1e-5)
  # exp(60) (1 - exp(-4.7 exp(-30))) in units of exp(30).
  np.testing.assert_allclose(slopes[0], -4.7 * np.exp(0.0), rtol=1e-5)


@pytest.mark.parametrize('log_scale', [-100.0, 100.0])
def test_kl_of_equal_distributions_at_denormal_scales(log_scale):
  for q in (vd.Normal, vd.Laplace, vd.Cauchy, vd.Gumbel, vd.LogNormal):
    value, slopes = value_and_slopes(q(0.5, log_scale), q(0.5, log_scale))
    assert value == 0
    assert not np.isnan(leaves(slopes)).any()
