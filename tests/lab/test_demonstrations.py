"""Each demonstration shows what it says it shows, at the command's default.

Seed and number of draws are the command's own, so a number either is right or
is not. A jax that drew other numbers would meet |z| < 4, of which there are
64, with a false alarm in 300, and |z| < 6, of which there are 80, with one in
a million.
"""

import dataclasses
import functools
import json
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import demonstrations as command
from tests.helpers import SIGMAS
from vae_jax import distributions
from vae_jax.config import DemonstrationsConfig
from vae_jax.errors import UserError
from vae_jax.lab import demonstrations
from vae_jax.lab.demonstrations import (
  collapse,
  descent,
  families,
  fixed_noise,
  jacobian,
  laws,
  quadratic,
  rare_draws,
)
from vae_jax.lab.demonstrations.comparison import (
  Comparison,
  compare_mean,
  compare_variance,
  format_rows,
)

NUM_DRAWS = DemonstrationsConfig().num_draws


@pytest.fixture(scope='module')
def measured():
  """Returns name -> the rows that the command measures, once for all tests."""
  parts = demonstrations.DEMONSTRATIONS
  keys = jax.random.split(jax.random.key(DemonstrationsConfig().seed), 8)
  keys = dict(zip(parts, keys, strict=True))
  return functools.cache(
    lambda name: parts[name].measure(keys[name], NUM_DRAWS)
  )


def assert_exact(numbers, sigmas=SIGMAS):
  scores = np.array([number.z for number in numbers])
  assert scores.size
  assert np.all(np.abs(scores) < sigmas), scores


# --- comparisons ---


def test_standard_errors_are_those_of_the_mean_and_of_the_variance(key):
  draws = np.asarray(3 * jax.random.normal(key, (200_000,)) + 1)
  mean, variance = compare_mean(draws, 1.0), compare_variance(draws, 9.0)
  np.testing.assert_allclose(mean.standard_error, 3 / 200_000**0.5, rtol=0.02)
  # Var[s^2] = 2 sigma^4 / N for a normal.
  error = 9 * math.sqrt(2 / 200_000)
  np.testing.assert_allclose(variance.standard_error, error, rtol=0.02)
  assert_exact([mean, variance])


def test_z_of_a_number_without_spread_forgives_rounding_only():
  assert Comparison(2.0, 2.5, 0.25).z == 2.0
  assert abs(Comparison(0.0, 1e-7, 0.0).z) < 1
  assert abs(Comparison(0.0, 1e-3, 0.0).z) > 100
  assert abs(Comparison(1e6, 1e6 + 0.1, 0.0).z) < 1


def test_rows_are_aligned():
  text = format_rows('title', ('a', 'b'), [('long name', 1.0), ('x', 123.456)])
  assert text.splitlines() == [
    'title',
    '  a              b',
    '  long name      1',
    '  x          123.5',
  ]


# --- 1: eight estimators of one gradient ---

# numbers.md, section 1: theta = 0, 1, 2, 5.
VARIANCES = {
  'score function': (15, 30, 87, 990),
  'score, baseline E[f]': (10, 18, 42, 210),
  'score, best baseline': (6, 14, 38, 206),
  'score, leave one out, a pair': (6, 14, 38, 206),
  'pathwise': (4, 4, 4, 4),
  'pathwise, mirrored pair': (0, 0, 0, 0),
  'measure-valued, independent': (1.2732, 1.8197, 3.4592, 14.9352),
  'measure-valued, coupled': (0, 1.0930, 4.3718, 27.3240),
}


@pytest.mark.parametrize('name', VARIANCES)
def test_variance_of_every_estimator(name, measured):
  rows = [row for row in measured('quadratic') if row.estimator == name]
  exact = [row.variance.exact for row in rows]
  np.testing.assert_allclose(exact, VARIANCES[name], rtol=1e-4)
  assert [row.theta for row in rows] == [0, 1, 2, 5]
  assert [row.gradient.exact for row in rows] == [0, 2, 4, 10]
  assert_exact([row.variance for row in rows], 4)
  assert_exact([row.gradient for row in rows], 4)
  assert all(x.variance.measured < 1e-9 for x in rows if not x.variance.exact)


def test_there_are_eight_estimators(measured):
  assert set(VARIANCES) == set(quadratic.ESTIMATORS)
  assert len(measured('quadratic')) == 32


# --- 1: descent ---


def test_both_descents_have_the_same_mean_and_another_scatter(measured):
  path, score = measured('descent')
  assert (path.estimator, score.estimator) == descent.NAMES
  np.testing.assert_allclose(path.mean.exact, 5 * 0.96**20)
  assert_exact([path.mean, score.mean, path.mean_square])
  assert score.spread > 1.5 * path.spread
  assert score.mean_square is None
  assert len(path.trajectory) == len(score.trajectory) == 301


def test_both_descents_see_the_same_draws(measured):
  path, score = (np.array(row.trajectory) for row in measured('descent'))
  rate = descent.LEARNING_RATE
  eps = (path[:-1] - path[1:]) / (2 * rate) - path[:-1]
  expected = score[:-1] - rate * (score[:-1] + eps) ** 2 * eps
  np.testing.assert_allclose(score[1:], expected, atol=2e-3)


def test_exact_mean_square_is_that_of_the_recursion():
  mean, variance, rate = descent.START, 0.0, descent.LEARNING_RATE
  for _ in range(7):
    mean -= rate * 2 * mean
    variance = (1 - 2 * rate) ** 2 * variance + 4 * rate**2
  exact = descent.exact_mean_square(7)
  np.testing.assert_allclose(exact, mean**2 + variance)


# --- 2: the gradient moved inside the expectation ---


def test_the_gradient_moved_inside_forgets_exactly_the_score_term(measured):
  rows = measured('exchange')
  assert len(rows) == 8
  for row in rows:
    inside, forgotten, gradient = row.inside, row.forgotten, row.gradient
    assert gradient.exact == 2 * row.theta == inside.exact + forgotten.exact
    assert_exact([inside, forgotten, gradient])
    if row.theta:
      # It is no small thing, and no other number would do.
      assert forgotten.exact >= row.theta
      assert gradient.measured - inside.measured > 0.9 * row.theta
    if row.f == 'x^2':
      assert (inside.measured, inside.standard_error) == (0, 0)


# --- 3: rare draws ---


def rare(measured, f, estimator):
  rows = measured('rare_draws')
  chosen = [row for row in rows if (row.f, row.estimator) == (f, estimator)]
  assert [row.theta for row in chosen] == list(rare_draws.THETAS)
  return chosen


def test_half_of_the_score_estimates_of_a_square_are_below_zero(measured):
  for row in rare(measured, 'x^2', 'score function'):
    assert row.mean.exact == 2 * row.theta
    assert_exact([row.mean])
    # A median is off by 1 / (2 p(median) sqrt(N)); here by theta^2 as much as
    # that of a normal, and less where theta is small.
    error = math.sqrt(math.pi / 2 / NUM_DRAWS) * row.theta**2
    assert abs(row.median_of_one) < SIGMAS * error
    assert row.median_of_one < row.median_of_ten < row.mean.exact
    assert row.half < 0.08


def test_pathwise_estimates_of_a_square_have_their_mean_in_the_middle(measured):
  for row in rare(measured, 'x^2', 'pathwise'):
    error = 2 * math.sqrt(math.pi / 2 / NUM_DRAWS)
    assert_exact([row.mean])
    assert abs(row.median_of_one - 2 * row.theta) < SIGMAS * error
    assert abs(row.median_of_ten - 2 * row.theta) < SIGMAS * error
    spread = 0.5 / math.sqrt(NUM_DRAWS / rare_draws.NUM_SAMPLES)
    assert abs(row.below - 0.5) < SIGMAS * spread


@pytest.mark.parametrize('estimator', rare_draws.ESTIMATES)
def test_the_steeper_the_function_the_rarer_the_draws_that_count(
  estimator, measured
):
  rows = rare(measured, 'exp(x^2/8)', estimator)
  assert_exact([rows[0].mean])
  shares = [row.median_of_ten / row.mean.exact for row in rows]
  halves, below = [row.half for row in rows], [row.below for row in rows]
  assert shares == sorted(shares, reverse=True)
  assert below == sorted(below)
  assert shares[0] > 0.6
  assert shares[-1] < 0.2
  assert below[-1] > 0.85
  assert halves[-1] < halves[-2] < halves[0]
  assert halves[-1] < 0.001


def test_exact_gradient_of_the_steep_function_is_that_of_the_integral():
  x = np.linspace(-30, 40, 200_001)

  def integral(theta):
    values = np.exp(x**2 / 8 - (x - theta) ** 2 / 2) / math.sqrt(2 * math.pi)
    return np.trapezoid(values, x)

  _, exact = rare_draws.FUNCTIONS['exp(x^2/8)']
  for theta in rare_draws.THETAS:
    slope = (integral(theta + 1e-4) - integral(theta - 1e-4)) / 2e-4
    np.testing.assert_allclose(exact(theta), slope, rtol=1e-6)


@pytest.mark.parametrize(
  ('draws', 'share'),
  [([1, 1, 1, 1], 0.5), ([-2, 1, 8, 1], 0.25), ([5, -4, 3, -2], 0.25)],
)
def test_share_of_the_draws_with_half_of_the_sum(draws, share):
  assert rare_draws.share_of_half(np.array(draws, float)) == share


# --- 4: noise drawn once ---


def test_optimum_of_kept_noise_is_off_by_the_root_of_the_number(measured):
  rows = [row for row in measured('fixed_noise') if row.f == 'x^2']
  n = np.array([row.num_samples for row in rows])
  assert n.tolist() == list(fixed_noise.NUM_SAMPLES)
  np.testing.assert_allclose([row.error.exact for row in rows], n**-0.5)
  np.testing.assert_allclose([x.claimed.exact for x in rows], 1 - 1 / n)
  assert_exact([row.error for row in rows])
  assert_exact([row.claimed for row in rows])


def test_optimum_of_kept_noise_of_another_function(measured):
  rows = [row for row in measured('fixed_noise') if row.f != 'x^2']
  # The limits are met where N is large.
  assert_exact([rows[-1].error, rows[-1].claimed])
  errors = [row.error.measured for row in rows]
  slope, _ = np.polyfit(np.log(fixed_noise.NUM_SAMPLES), np.log(errors), 1)
  assert -0.55 < slope < -0.4


@pytest.mark.parametrize('start', [-6.0, 3.0])
@pytest.mark.parametrize('num_samples', [1, 100])
def test_newton_finds_the_optimum_of_kept_noise(num_samples, start, key):
  eps = jax.random.normal(key, (num_samples,))
  closed = {
    'x^2': -jnp.mean(eps),
    'exp(x) - x': -jnp.log(jnp.mean(jnp.exp(eps))),
  }
  for name, loss in fixed_noise.LOSSES.items():
    objective = functools.partial(fixed_noise.fixed_objective, loss.f, eps)
    theta = fixed_noise.minimise(objective, jnp.array(start))
    np.testing.assert_allclose(theta, closed[name], atol=1e-5)
    np.testing.assert_allclose(
      objective(theta), np.mean([loss.f(theta + e) for e in eps]), rtol=1e-5
    )


# --- 5: the Jacobian ---


def test_the_objective_in_z_is_the_one_in_eps(measured):
  rows = measured('jacobian')
  assert [row.size for row in rows] == [3, 4, 5] * 2
  for row in rows:
    assert max(row.value, row.gradient_loc, row.gradient_scale) < 3e-5
    np.testing.assert_allclose(row.in_z, row.in_eps, atol=3e-5)
    # What would be missing is nothing that rounding could hide.
    assert abs(row.log_det) > 1e-2


@pytest.mark.parametrize('triangular', [True, False])
def test_either_form_is_what_it_says(triangular, key):
  params_key, key = jax.random.split(key)
  params = jacobian._params(params_key, triangular, 4)
  c = np.asarray(params['scale_tril'])
  assert np.array_equal(c, np.tril(c)) == triangular
  assert (np.linalg.det(c) > 0) == triangular
  value = jacobian.objective_in_z(triangular, jacobian.log_target, params, key)
  q = distributions.MultivariateNormal(**params, triangular=triangular)
  z = distributions.sample(jax.random.clone(key), q)
  from scipy import stats

  normal = stats.multivariate_normal(params['loc'], c @ c.T)
  exact = jacobian.log_target(z) - normal.logpdf(z)
  np.testing.assert_allclose(value, exact, rtol=1e-4)


def test_without_the_determinant_the_variance_collapses(measured):
  with_it, without = measured('collapse')
  assert with_it.exact == np.trace(
    collapse.TARGET_SCALE @ collapse.TARGET_SCALE.T
  )
  # 250 steps that remember 20 of one another, each of a spread of a tenth.
  np.testing.assert_allclose(with_it.fitted, with_it.exact, rtol=0.05)
  assert without.exact == 0
  assert without.last < 1e-10
  assert without.trajectory[0] == with_it.trajectory[0] == 3


# --- 6: every family ---


@pytest.mark.parametrize('name', laws.FAMILIES)
def test_pathwise_gradient_of_every_family(name, measured):
  rows = [row for row in measured('families') if row.family == name]
  fields = dataclasses.fields(laws.FAMILIES[name].make)
  parameters = {x.name for x in fields if not x.metadata.get('static')}
  assert {row.parameter.split('[')[0] for row in rows} == parameters
  assert_exact([row.gradient for row in rows], 5)
  # A gradient near 0 would be met by a law that ignores the parameter.
  assert all(abs(x.gradient.exact) > 0.005 for x in rows)


def test_no_family_is_left_out():
  kinds = {
    name
    for name in distributions.__all__
    if isinstance(kind := getattr(distributions, name), type)
    and kind.pathwise_parameters is None
  }
  # A temperature is no parameter that scipy has a law for.
  others = {'Distribution', 'LocationScale'}
  others |= {'RelaxedBernoulli', 'RelaxedCategorical'}
  # A law of pixels, which scipy does not have.
  others |= {'ContinuousBernoulli'}
  assert kinds - others == set(laws.FAMILIES)


def test_exact_gradients_are_those_of_closed_forms():
  gradient = laws.exact_gradient(laws.FAMILIES['Normal'])
  m, s2 = 0.4, math.exp(-0.4)
  mean = math.exp(-(m**2) / (1 + 2 * s2)) / math.sqrt(1 + 2 * s2)
  slope = -2 * m / (1 + 2 * s2) * mean
  spread = 2 * s2 / (1 + 2 * s2) * mean * (2 * m**2 / (1 + 2 * s2) - 1)
  np.testing.assert_allclose(gradient['loc'], slope, rtol=1e-6)
  np.testing.assert_allclose(gradient['log_scale'], spread, rtol=1e-6)

  gradient = laws.exact_gradient(laws.FAMILIES['Uniform'])
  mean = math.sqrt(math.pi) / 4 * (math.erf(1.5) + math.erf(0.5))
  ends = math.exp(-2.25), math.exp(-0.25)
  np.testing.assert_allclose(gradient['high'], (ends[0] - mean) / 2, rtol=1e-6)
  np.testing.assert_allclose(gradient['low'], (mean - ends[1]) / 2, rtol=1e-6)

  family = laws.FAMILIES['MultivariateNormal']
  wide = {'loc': np.array([m]), 'scale_tril': np.sqrt([[s2]])}
  gradient = laws.exact_gradient(family._replace(params=wide))
  np.testing.assert_allclose(gradient['loc'], [slope], rtol=1e-6)


def test_bump_is_the_function_of_the_laws():
  z = jnp.array([0.3, -1.2])
  np.testing.assert_allclose(families.bump(z), math.exp(-1.53), rtol=1e-6)


# --- the command ---


def test_the_command_prints_and_writes_what_was_measured(
  measured, monkeypatch, tmp_path, capsys
):
  def remembered(name, part):
    rows = measured(name)
    return types.SimpleNamespace(
      measure=lambda key, num_draws: rows, table=part.table, draw=part.draw
    )

  parts = demonstrations.DEMONSTRATIONS
  stand_ins = {name: remembered(name, part) for name, part in parts.items()}
  monkeypatch.setattr(demonstrations, 'DEMONSTRATIONS', stand_ins)
  command.main(['demonstrations', f'--workdir={tmp_path}'])
  printed = capsys.readouterr().out
  for name, part in parts.items():
    assert part.table(measured(name)) in printed
    figure = tmp_path / f'{name}.png'
    assert figure.read_bytes().startswith(b'\x89PNG')
    assert f'  {figure}' in printed.splitlines()
  assert f'  {tmp_path / "results.json"}' in printed.splitlines()
  assert len(list(tmp_path.iterdir())) == len(parts) + 1
  records = json.loads((tmp_path / 'results.json').read_text())
  assert [r['demonstration'] for r in records] == [
    name for name in parts for _ in measured(name)
  ]
  row = measured('quadratic')[0]
  record = next(r for r in records if r['demonstration'] == 'quadratic')
  assert record['estimator'] == row.estimator
  assert record['variance'] == {**row.variance._asdict(), 'z': row.variance.z}


def test_a_thousand_draws_do(monkeypatch, tmp_path):
  quick = ('descent', 'rare_draws')
  parts = {name: demonstrations.DEMONSTRATIONS[name] for name in quick}
  monkeypatch.setattr(demonstrations, 'DEMONSTRATIONS', parts)
  config = DemonstrationsConfig(workdir=str(tmp_path), num_draws=1000)
  paths = demonstrations.run(config)
  assert [path.stem for path in paths] == [*quick, 'results']


def test_every_demonstration_gets_the_draws_and_a_key_of_its_own(
  monkeypatch, tmp_path
):
  seen = []

  def part(name):
    def measure(key, num_draws):
      seen.append((jax.random.key_data(key).tolist(), num_draws))
      return ()

    return types.SimpleNamespace(
      measure=measure, table=lambda rows: name, draw=lambda path, rows: path
    )

  stand_ins = {name: part(name) for name in ('a', 'b')}
  monkeypatch.setattr(demonstrations, 'DEMONSTRATIONS', stand_ins)
  for seed in (0, 1):
    demonstrations.run(
      DemonstrationsConfig(workdir=str(tmp_path), num_draws=2345, seed=seed)
    )
  assert len({tuple(key) for key, _ in seen}) == 4
  assert {num_draws for _, num_draws in seen} == {2345}


def test_a_folder_that_cannot_be_is_told_before_anything_is_measured(tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(UserError, match='is a file'):
    command.main(['demonstrations', f'--workdir={tmp_path / "file"}'])
