import json

import jax
import numpy as np
import pytest

from experiments import gradient_variance
from experiments.lab import accuracy, exact, grids, variance
from vae_jax import distributions
from vae_jax.errors import UserError

VALUE, SLOPE = 1e-5, 2e-5


@pytest.mark.quick('Normal')
@pytest.mark.parametrize(
  'name',
  [
    # The exact derivatives of Beta take longer than those of all others.
    pytest.param(name, marks=pytest.mark.slow if name == 'Beta' else ())
    for name in grids.GRIDS
  ],
)
def test_float32_keeps_its_digits_at_extreme_parameters(name):
  for record in accuracy.compare([name], every=8):
    assert record.error is not None, record
    assert record.error < VALUE, record
    assert record.slope_error is not None, record
    assert record.slope_error < SLOPE, record


def test_every_family_has_a_grid():
  families = {
    name
    for name in distributions.__all__
    if isinstance(family := getattr(distributions, name), type)
    and issubclass(family, distributions.Distribution)
  }
  without = {'Chain', 'Conditional', 'Distribution', 'LocationScale'}
  # Made of other families; counts and the rest have exact tests of their own.
  without |= {'Masked', 'Mixture', 'Transformed', 'DiscretisedLogisticMixture'}
  without |= {'LowRankNormal', 'Poisson', 'NegativeBinomial'}
  without |= {'ZeroInflatedNegativeBinomial'}
  # Its mass is that of `Categorical`.
  assert set(grids.GRIDS) == families - without - {'CategoricalPixels'}
  assert set(exact.EXACT) == set(grids.GRIDS)


def test_error_is_relative_to_the_effect_of_rounding():
  f = lambda x, y: x - y
  point = accuracy._Point([3.0, 2.0], [3.0, 2.0], [1.0, 1.0])
  value, slope = accuracy._errors(f, point, 1.6, [1.0, -0.5])
  assert abs(value - 0.1) < 1e-6  # .6 of 1 + 3 + 2
  assert abs(slope - 0.25) < 1e-6  # .5 of 1 + min(6, 1)


def test_suite_prints_a_table_and_writes_records(tmp_path, capsys, monkeypatch):
  few = {'Rayleigh': grids.GRIDS['Rayleigh']}
  monkeypatch.setattr(accuracy, 'GRIDS', few)
  gradient_variance.main(['', '--suite=accuracy', f'--workdir={tmp_path}'])
  printed = capsys.readouterr().out
  [line] = [x for x in printed.splitlines() if x.startswith('  Rayleigh')]
  assert line.count('/') == len(accuracy.QUANTITIES)
  records = json.loads((tmp_path / 'results.json').read_text())
  assert [r['quantity'] for r in records] == list(accuracy.QUANTITIES)


def test_missing_mpmath_is_one_clear_line(tmp_path, monkeypatch):
  monkeypatch.setattr(variance.importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(UserError, match=r"mpmath.*pip install 'vae_jax\[dev\]'"):
    gradient_variance.main(['', '--suite=accuracy', f'--workdir={tmp_path}'])


@pytest.mark.slow
@pytest.mark.parametrize('name', ['Gamma', 'Beta'])
def test_divergence_of_concentrations_that_are_far_apart(name):
  """p = q + (p - q) would be 0 for q = 1e7 and p = 1e-3."""
  grid, divergence = grids.GRIDS[name], exact.EXACT[name]['kl']
  points = accuracy._inputs(grid, 1)['kl far']
  f = lambda q, p: distributions.kl(grid.make(*q), grid.make(*p))
  both = jax.jit(jax.vmap(jax.value_and_grad(f, (0, 1))))
  found, slopes = both(*accuracy._stack(points))
  truth = [float(divergence(*map(exact.m.mpf, (*q, *p)))) for q, p in points]
  with np.errstate(over='ignore'):
    truth = np.array(truth, np.float32)
  # Each of three terms is rounded, to 2^-23 of the largest at most.
  largest = np.array([_largest_term(name, q, p) for q, p in points])
  tolerance = 1e-5 * np.abs(truth) + 3 * 2.0**-23 * largest
  finite = np.isfinite(truth)
  assert np.all(np.abs(found - truth)[finite] <= tolerance[finite])
  np.testing.assert_array_equal(found[~finite], truth[~finite])
  assert not np.isnan(np.array(slopes)[:, truth < np.inf]).any()


def _largest_term(name, q, p):
  """Returns the largest Bregman divergence of log Gamma(a) - a log a + a.

  KL = sum of them, of each concentration and, for Beta, minus that of the
  totals, but for what is left of a log a.
  """
  m = exact.m
  g = lambda a: m.loggamma(a) - a * m.log(a) + a
  slope = lambda a: m.digamma(a) - m.log(a)

  def bregman(q, p):
    return abs(g(p) - g(q) - slope(q) * (p - q))

  q, p = [[m.mpf(x) for x in each] for each in (q, p)]
  if name == 'Gamma':
    # That of the rates is positive too: it is part of the result.
    return float(bregman(q[0], p[0]))
  pairs = [*zip(q, p, strict=True), (sum(q), sum(p))]
  return float(max(bregman(a, b) for a, b in pairs))
