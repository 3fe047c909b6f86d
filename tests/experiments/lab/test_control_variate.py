import jax
import pytest

from experiments.lab import control_variate

# Its fixture trains or draws for seconds.
pytestmark = pytest.mark.slow

# From q equal to the target to a narrow and distant q.
SETTINGS = [control_variate.SETTINGS[i] for i in (0, 1, 3)]
COMBINED = control_variate._COMBINED


@pytest.fixture(scope='module')
def points():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(control_variate, 'SETTINGS', SETTINGS)
    return control_variate.measure(jax.random.key(0), 200)


def test_combination_has_at_most_the_noise_of_the_better_estimator(points):
  combined = [p for p in points if p.estimator == COMBINED]
  assert len(combined) == len(SETTINGS) * len(control_variate.OBJECTIVES)
  for p in combined:
    # The ratio of two standard deviations from 200 draws has an error of 7 %.
    assert p.noise_to_best < 1.5, p
  near = [p for p in combined if p.setting == SETTINGS[1][0]]
  for p in near:
    assert p.noise_to_best < 0.8, p


def test_better_estimator_depends_on_q(points):
  noise = {(p.setting, p.objective, p.estimator): p.noise for p in points}
  first, last = SETTINGS[0][0], SETTINGS[-1][0]
  for objective, (_, stopped) in control_variate.OBJECTIVES.items():
    of = lambda setting, name: noise[setting, objective, name]  # noqa: B023
    assert of(first, stopped) < of(first, 'pathwise')
    assert of(last, stopped) > of(last, 'pathwise')


def test_all_estimators_are_unbiased(points):
  for p in points:
    # With two parameters the root mean square of z exceeds 5 with p = 1e-11.
    assert p.bias_z < 5, p


def test_coefficient_of_the_combination(points):
  for p in points:
    if p.estimator != COMBINED:
      assert p.coefficient == (0.0 if p.estimator == 'pathwise' else 1.0)
    elif p.setting == SETTINGS[0][0]:
      # STL and DReG have zero variance if q is the target.
      assert p.coefficient == pytest.approx(1.0, abs=0.05)


def test_table_has_one_line_per_point(points):
  assert len(control_variate.table(points).splitlines()) == len(points) + 2
