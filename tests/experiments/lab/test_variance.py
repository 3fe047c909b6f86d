import json
import pathlib

import pytest

from experiments import gradient_variance
from experiments.lab import config, families, logistic, variance
from experiments.lab.scipy_references import FAMILIES


def test_families_suite_writes_one_record_per_point(
  tmp_path, monkeypatch, capsys
):
  names = ('pathwise', 'score function')
  estimators = {name: families.ESTIMATORS[name] for name in names}
  monkeypatch.setattr(families, 'ESTIMATORS', estimators)
  few = {'Exponential': FAMILIES['Exponential']}
  monkeypatch.setattr(families, 'FAMILIES', few)
  gradient_variance.main(
    ['', '--suite=families', '--num_draws=1000', f'--workdir={tmp_path}']
  )
  records = json.loads((tmp_path / 'results.json').read_text())
  assert [r['estimator'] for r in records] == list(names)
  assert all(r['setting'] == 'Exponential' for r in records)
  printed = capsys.readouterr().out
  assert 'score function' in printed
  written = printed.split('Written:')[1].split()
  assert all(pathlib.Path(path).stat().st_size > 100 for path in written)


@pytest.mark.slow
def test_logistic_suite_trains_prints_and_draws(tmp_path, capsys, monkeypatch):
  few = {'pathwise': logistic.ESTIMATORS['pathwise']}
  monkeypatch.setattr(logistic, 'ESTIMATORS', few)
  monkeypatch.setattr(logistic, 'POSTERIORS', logistic.POSTERIORS[:1])
  monkeypatch.setattr(logistic, '_VARIANCE_DRAWS', 4)
  gradient_variance.main(
    ['', '--suite=logistic', '--num_steps=20', f'--workdir={tmp_path}']
  )
  records = json.loads((tmp_path / 'results.json').read_text())
  assert [r['step'] for r in records] == list(range(0, 21, 2))
  assert {r['setting'] for r in records} == {'diagonal covariance'}
  assert 'final ELBO' in capsys.readouterr().out
  for field in ('elbo', 'variance'):
    figure = tmp_path / f'logistic_diagonal_{field}.png'
    assert figure.stat().st_size > 1000


def test_every_suite_of_the_flag_exists():
  [field] = [
    field
    for field in config.GradientVarianceConfig.__dataclass_fields__.values()
    if field.name == 'suite'
  ]
  assert set(field.metadata['choices']) == {'all', *variance._SUITES}


def test_a_suite_has_the_same_key_alone_and_among_all(tmp_path, monkeypatch):
  keys = []

  def suite(key, config, folder):
    keys.append(variance.jax.random.key_data(key).tolist())
    return [], []

  monkeypatch.setattr(variance, '_SUITES', {'costs': suite, 'families': suite})
  for name in ('all', 'costs', 'families'):
    variance.run(
      config.GradientVarianceConfig(suite=name, workdir=str(tmp_path))
    )
  assert keys[:2] == keys[2:]
  assert keys[0] != keys[1]


@pytest.mark.parametrize('name', ['costs', 'mixture'])
def test_suite_is_selected_by_its_flag(name, tmp_path, monkeypatch):
  suites = dict.fromkeys(variance._SUITES, lambda *args: ([], []))
  called = lambda *args: ([{'suite': name}], [])
  monkeypatch.setattr(variance, '_SUITES', suites | {name: called})
  gradient_variance.main(['', f'--suite={name}', f'--workdir={tmp_path}'])
  records = json.loads((tmp_path / 'results.json').read_text())
  assert records == [{'suite': name}]
