import json
import pathlib

import pytest

from experiments import gradient_variance
from vae_jax.lab import families, logistic, variance
from vae_jax.lab.demonstrations.laws import FAMILIES


def test_results_hold_one_record_a_point(tmp_path, monkeypatch, capsys):
  few = {'Exponential': FAMILIES['Exponential']}
  monkeypatch.setattr(families, 'FAMILIES', few)
  gradient_variance.main(
    ['', '--suite=families', '--num_draws=1000', f'--workdir={tmp_path}']
  )
  records = json.loads((tmp_path / 'results.json').read_text())
  assert {r['estimator'] for r in records} >= {'pathwise', 'score function'}
  assert all(r['setting'] == 'Exponential' for r in records)
  printed = capsys.readouterr().out
  assert 'measure-valued, coupled' in printed
  written = printed.split('Written:')[1].split()
  assert all(pathlib.Path(path).stat().st_size > 100 for path in written)


def test_the_logistic_suite_trains_prints_and_draws(
  tmp_path, capsys, monkeypatch
):
  few = {'pathwise': logistic.ESTIMATORS['pathwise']}
  monkeypatch.setattr(logistic, 'ESTIMATORS', few)
  monkeypatch.setattr(logistic, '_VARIANCE_DRAWS', 4)
  gradient_variance.main(
    ['', '--suite=logistic', '--num_steps=20', f'--workdir={tmp_path}']
  )
  records = json.loads((tmp_path / 'results.json').read_text())
  assert {r['setting'] for r in records} == {
    'diagonal covariance',
    'full covariance',
  }
  assert 'ELBO at the end' in capsys.readouterr().out
  assert (tmp_path / 'logistic_full_variance.png').stat().st_size > 1000


@pytest.mark.parametrize('name', ['costs', 'families', 'logistic'])
def test_every_suite_of_the_flag_exists(name):
  assert name in variance._SUITES
