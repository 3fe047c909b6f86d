import jax
import pytest

from vae_jax.lab import mixture


@pytest.fixture(scope='module')
def points():
  return mixture.measure(jax.random.key(0), 300)


def test_the_mixture_is_no_worse_than_the_better_of_the_two(points):
  mixed = [p for p in points if p.estimator == 'mixture']
  assert len(mixed) == len(mixture.SETTINGS) * len(mixture.OBJECTIVES)
  for p in mixed:
    # The ratio of two deviations of 300 draws each is off by 6 % or so.
    assert p.noise_to_best < 1.5, p
  near = [p for p in mixed if p.setting == mixture.SETTINGS[1][0]]
  for p in near:
    assert p.noise_to_best < 0.8, p


def test_which_of_the_two_is_better_depends_on_q(points):
  noise = {(p.setting, p.objective, p.estimator): p.noise for p in points}
  first, last = mixture.SETTINGS[0][0], mixture.SETTINGS[-1][0]
  for objective, (_, held) in mixture.OBJECTIVES.items():
    assert noise[first, objective, held] < noise[first, objective, 'pathwise']
    assert noise[last, objective, held] > noise[last, objective, 'pathwise']


def test_nothing_is_biased(points):
  for p in points:
    # Two parameters: the root mean square of z is above 5 once in 1e11.
    assert p.bias_z < 5, p


def test_the_table_has_a_line_a_point(points):
  assert len(mixture.table(points).splitlines()) == len(points) + 2
