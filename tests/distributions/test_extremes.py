"""Values and gradients at the limits of float32 and of the supports."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import vae_jax.distributions as vd
from tests.distributions.families import (
  FAMILIES,
)
from tests.distributions.scipy_references import reference_of

SCALES = [-30.0, 0.0, 30.0]
SHAPES = [1e-2, 1.0, 1e3]
LOCATED = [[-1e3, 0.0, 1.0], SCALES]

PARAMETERS = {
  vd.Normal: LOCATED,
  vd.Laplace: LOCATED,
  vd.Logistic: LOCATED,
  vd.Cauchy: LOCATED,
  vd.Gumbel: LOCATED,
  vd.StudentT: [[0.1, 1.0, 1e6], *LOCATED],
  vd.Exponential: [SCALES],
  vd.Weibull: [SHAPES, SCALES],
  vd.Rayleigh: [SCALES],
  vd.Pareto: [SHAPES, SCALES],
  vd.LogNormal: [[-30.0, 0.0, 30.0], SCALES],
  vd.Uniform: [[-1e6, -1e-6, 0.0], [1e-6, 1.0, 1e6]],
  vd.Gamma: [SHAPES, SCALES],
  vd.Beta: [SHAPES, SHAPES],
  vd.RelaxedBernoulli: [[0.1, 1.0, 10.0], [-90.0, 0.0, 90.0]],
  vd.ContinuousBernoulli: [[-1e4, -90.0, -1e-3, 0.0, 1e-3, 90.0, 1e4]],
}
Z = [-1e3, -1.0, 0.0, 1e-6, 0.5, 1 - 2**-24, 1.0, 1e3]

every_family = pytest.mark.parametrize(
  'family', PARAMETERS, ids=lambda family: family.__name__
)


def grid(parameters):
  """Returns every combination of the parameters, one column each."""
  columns = zip(*itertools.product(*parameters), strict=True)
  return [np.array(column, np.float32) for column in columns]


@jax.jit
def density(q, z):
  """Returns log_prob of each q at each z, and its gradients."""
  slopes = jax.value_and_grad(lambda q, z: q.log_prob(z), (0, 1))
  return jax.vmap(jax.vmap(slopes, (None, 0)), (0, None))(q, z)


@pytest.mark.quick('Normal', 'Gamma', 'LogNormal', 'Gumbel')
@every_family
def test_log_prob_is_not_nan_and_its_gradient_is_finite(family):
  parameters = grid(PARAMETERS[family])
  ends = []
  if family is vd.Uniform:
    ends = parameters
  elif family is vd.Pareto:
    ends = [np.exp(parameters[1])]
  z = np.unique(np.concatenate([np.float32(Z), *ends]))
  value, slopes = jax.tree.map(np.asarray, density(family(*parameters), z))
  assert not np.isnan(value).any()
  low, high = (x[:, None] for x in reference_of(family, parameters).support())
  # The end of the support of a Pareto is rounded.
  outside = (z < low - 1e-5 * np.abs(low)) | (z > high)
  assert np.isneginf(value[outside]).all()
  assert np.isfinite(value[~outside]).mean() > 0.5
  for slope in jax.tree.leaves(slopes):
    assert np.isfinite(slope[np.isfinite(value)]).all()


@pytest.mark.quick('Gamma', 'Pareto')
@pytest.mark.parametrize(
  'family', [vd.StudentT, vd.Weibull, vd.Pareto, vd.Gamma, vd.Beta]
)
def test_entropy_and_its_gradient_are_finite(family):
  value = jax.vmap(jax.value_and_grad(lambda q: q.entropy()))
  numbers = jax.jit(value)(family(*grid(PARAMETERS[family])))
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(numbers))


@pytest.mark.parametrize(
  ('q', 'end'),
  [
    (vd.Exponential(0.5), 0.0),
    (vd.Pareto(2.0, 0.7), np.exp(np.float32(0.7))),
    (vd.Uniform(-2.0, 0.3), -2.0),
    (vd.Uniform(-2.0, 0.3), 0.3),
  ],
)
def test_log_prob_is_finite_at_a_closed_end_of_the_support(q, end):
  assert np.isfinite(q.log_prob(jnp.float32(end)))


# The smallest and the largest noise of jax.random in float32.
NOISE = {
  'Logistic': (-87.34, 15.94),
  'Cauchy': (-2.7e6, 2.7e6),
  'Gumbel': (-4.47, 15.94),
  'Exponential': (0.0, 15.94),
  'Weibull': (0.0, 15.94),
  'Rayleigh': (0.0, 15.94),
  'Pareto': (0.0, 15.94),
  'Uniform': (0.0, 1 - 2**-23),
  'RelaxedBernoulli': (-87.34, 15.94),
  'ContinuousBernoulli': (0.0, 1 - 2**-23),
}


@pytest.mark.quick(
  'Pareto', 'Rayleigh', 'Uniform', 'Gumbel', 'Exponential', 'Weibull'
)
@pytest.mark.parametrize('name', NOISE)
def test_log_prob_is_finite_at_extreme_and_antithetic_noise(name):
  value = lambda q, eps: q.log_prob(q.transform(eps))

  @jax.jit
  def program(q, eps):
    eps = jnp.concatenate([eps, jax.vmap(q.mirror)(eps)])
    return jax.vmap(jax.value_and_grad(value), (None, 0))(q, eps)

  ends = np.tile(np.float32(NOISE[name])[:, None], 4)
  numbers = program(FAMILIES[name], ends)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(numbers))


def test_uniform_draws_do_not_round_to_outside_the_support():
  random = np.random.default_rng(0)
  low, high = np.exp(2 * random.normal(size=(2, 1000))).astype(np.float32)
  q = vd.Uniform(-low, high)
  for eps in [0.0, 1 - 2**-24, 1.0]:
    z = np.asarray(q.transform(jnp.full(1000, eps)))
    assert np.all((z >= -low) & (z <= high))


def test_entropy_of_student_t_tends_to_the_normal():
  entropy = jax.jit(jax.vmap(lambda df: vd.StudentT(df, 0.0, 0.0).entropy()))
  df = np.array([0.1, 1.0, 10.0, 19.0, 21.0, 100.0, 1e4, 1e6])
  np.testing.assert_allclose(
    entropy(jnp.array(df)), stats.t(df).entropy(), rtol=1e-5
  )


@pytest.mark.parametrize(
  ('make', 'exact'),
  [
    # pi^2 / 6 / k^2 to the leading order in 1 / k.
    (lambda: vd.Weibull(1e5, 0.0), np.pi**2 / 6e10),
    (
      lambda: vd.Weibull(1e3, 40.0),
      (special.gamma(1.002) - special.gamma(1.001) ** 2) * np.exp(80.0),
    ),
    (lambda: vd.LogNormal(-200.0, 2.4), 0.0),
    (
      lambda: vd.LogNormal(-100.0, 2.4),
      np.exp(-200 + 2 * np.exp(2 * np.float64(np.float32(2.4)))),
    ),
    (lambda: vd.LogNormal(40.0, -20.0), np.exp(80.0 - 40.0)),
    (lambda: vd.Pareto(1e20, 44.0), np.exp(88.0) * 1e-40),
    (lambda: vd.Uniform(-1e19, 1e19), 1e38 / 3),
  ],
)
def test_variance_at_extreme_parameters(make, exact):
  np.testing.assert_allclose(make().variance(), exact, rtol=3e-5)


@pytest.mark.parametrize(
  ('q', 'z', 'exact'),
  [
    (vd.Normal(0.0, -100.0), 0.0, 100 - np.log(2 * np.pi) / 2),
    (vd.Normal(0.0, 100.0), 0.0, -100 - np.log(2 * np.pi) / 2),
    (vd.Normal(0.0, -89.5), 2e-38, None),
    (vd.Logistic(0.0, 0.0), -np.inf, -np.inf),
    (vd.Gumbel(0.0, 0.0), -np.inf, -np.inf),
    (vd.Gumbel(0.0, 0.0), np.inf, -np.inf),
    (vd.Weibull(2.0, 0.0), np.inf, -np.inf),
    (vd.Rayleigh(0.0), np.inf, -np.inf),
    (vd.Exponential(100.0), 0.0, 100.0),
    (vd.Uniform(-3e38, 3e38), 0.0, -np.log(6e38)),
  ],
)
def test_log_prob_at_the_ends_of_float32(q, z, exact):
  if exact is None:
    exact = stats.norm.logpdf(z * np.exp(89.5)) + 89.5
  np.testing.assert_allclose(q.log_prob(jnp.float32(z)), exact, rtol=1e-5)


@pytest.mark.quick('q0', 'q4', 'q6', 'q10')
@pytest.mark.parametrize(
  'q',
  [
    *(f(5, 0) for f in (vd.Normal, vd.Laplace, vd.Logistic, vd.Gumbel)),
    *(vd.Cauchy(5, 0), vd.StudentT(3, 5, 0), vd.Uniform(-1, 9)),
    *(vd.Exponential(0), vd.Rayleigh(0), vd.Weibull(2, 1), vd.Pareto(2, 0)),
    *(vd.LogNormal(1, 0), vd.ContinuousBernoulli(2)),
  ],
)
def test_integer_events_do_not_wrap(q):
  for z in (0, 1, 3, 200):
    found = q.log_prob(np.array(z, np.uint8))
    floats = jax.tree.map(np.float32, q)
    np.testing.assert_allclose(found, floats.log_prob(np.float32(z)), rtol=1e-6)


@pytest.mark.parametrize('z', [np.inf, -np.inf, -1.0])
def test_density_of_positive_numbers_is_zero_outside(z):
  families = [
    vd.Gamma(2.0, 0.0),
    vd.Gamma(0.5, 0.0),
    vd.Exponential(0.3),
    vd.Weibull(0.7, 0.0),
    vd.Rayleigh(0.1),
    vd.Pareto(2.0, 0.0),
    vd.LogNormal(0.0, 0.0),
  ]
  for q in families:
    assert q.log_prob(z) == -np.inf, q.name
