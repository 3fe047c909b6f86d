import jax
import pytest

from vae_jax.lab import families
from vae_jax.lab.demonstrations.laws import FAMILIES


@pytest.fixture(scope='module')
def compared():
  few = {name: FAMILIES[name] for name in ('Normal', 'Pareto')}
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(families, 'FAMILIES', few)
    return families.compare(jax.random.key(0), 20_000)


def test_what_is_served_is_unbiased(compared):
  records, _ = compared
  served = {(r.setting, r.estimator, r.parameter) for r in records}
  assert ('Normal', 'measure-valued', 'log_scale') in served
  assert ('Pareto', 'pathwise', 'log_scale') in served
  assert ('Pareto', 'score function', 'concentration') in served
  assert max(abs(r.z) for r in records) < 6


def test_what_is_refused_says_why(compared):
  _, refusals = compared
  reasons = {(r.setting, r.estimator, r.parameter): r.refused for r in refusals}
  reason = reasons['Pareto', 'score function', 'log_scale']
  assert 'moves the support' in reason
  assert ('Pareto', 'score function', 'concentration') not in reasons
  assert not any(setting == 'Normal' for setting, *_ in reasons)
