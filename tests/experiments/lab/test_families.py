import jax
import pytest

from experiments.lab import families
from experiments.lab.scipy_references import FAMILIES
from tests.helpers import SIGMAS

ESTIMATORS = ('pathwise', 'score function', 'score, delta', 'measure-valued')


@pytest.fixture(scope='module')
def compared():
  few = {name: FAMILIES[name] for name in ('Exponential', 'Pareto')}
  estimators = {name: families.ESTIMATORS[name] for name in ESTIMATORS}
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(families, 'FAMILIES', few)
    patch.setattr(families, 'ESTIMATORS', estimators)
    return families.compare(jax.random.key(0), 20_000)


@pytest.mark.slow
def test_supported_estimators_are_unbiased(compared):
  records, _ = compared
  points = {(r.setting, r.estimator, r.parameter) for r in records}
  assert points == {
    *(('Exponential', name, 'log_rate') for name in ESTIMATORS),
    *(('Pareto', 'pathwise', p) for p in ('concentration', 'log_scale')),
    ('Pareto', 'score function', 'concentration'),
  }
  assert max(abs(r.z) for r in records) < SIGMAS
  evaluations = {r.evaluations for r in records if 'measure' in r.estimator}
  # Two draws, and two points per draw.
  assert evaluations == {6}


@pytest.mark.slow
def test_unsupported_estimators_have_a_reason(compared):
  _, unsupported = compared
  reasons = {
    (r.setting, r.estimator, r.parameter): r.reason for r in unsupported
  }
  assert set(reasons) == {
    ('Pareto', 'score function', 'log_scale'),
    ('Pareto', 'score, delta', 'all'),
    ('Pareto', 'measure-valued', 'concentration'),
    ('Pareto', 'measure-valued', 'log_scale'),
  }
  assert 'log_scale' in reasons['Pareto', 'score function', 'log_scale']
  assert 'variance' in reasons['Pareto', 'score, delta', 'all']
