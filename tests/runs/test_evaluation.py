import json
import re
import types

import jax
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.errors import UserError
from vae_jax.evaluate import Check
from vae_jax.evaluate.calibration import summarise
from vae_jax.io import checkpoint
from vae_jax.runs import (
  Config,
  EvaluateConfig,
  RunFolder,
  checks,
  evaluate,
  evaluation,
  splits,
  switches,
)
from vae_jax.runs.report import build, html

# Keys of an evaluation beside those of every test record.
MORE_KEYS = [
  *('nll_without_dead_units', 'nll_without_dead_units_standard_error'),
  'gap_examples',
  *('gap_log_marginal', 'gap_log_marginal_standard_error'),
  *('gap_best_elbo', 'gap_best_elbo_standard_error'),
  *('gap_elbo', 'gap_elbo_standard_error'),
  *('gap_approximation', 'gap_approximation_standard_error'),
  *('gap_amortisation', 'gap_amortisation_standard_error'),
  'sandwich_examples',
  *('sandwich_lower', 'sandwich_lower_standard_error'),
  *('sandwich_upper', 'sandwich_upper_standard_error'),
  *('sandwich_gap', 'sandwich_gap_standard_error'),
  *('sandwich_lower_acceptance_rate', 'sandwich_upper_acceptance_rate'),
  *('ais', 'ais_standard_error', 'ais_acceptance_rate'),
]


def measured(run, **options):
  options = {'workdir': str(run.folder), 'num_samples': 3} | options
  return evaluate(EvaluateConfig(**options))


def place_of(run, name):
  return run.folder / 'evaluations' / name


def line_of(place):
  (line,) = (place / 'metrics.jsonl').read_text().splitlines()
  return json.loads(line)


def contents(folder):
  """Returns path -> bytes of the run's own files, but for its lock."""
  return {
    path: path.read_bytes()
    for path in folder.rglob('*')
    if path.is_file() and not {'evaluations', '.lock'} & {*path.parts}
  }


@pytest.fixture
def unmeasured(monkeypatch):
  """Leaves out the measurements; returns the runs that would be measured."""
  runs = []

  def report(run, title, **options):
    runs.append((run, title, options))
    return {}, []

  monkeypatch.setattr(build, 'report', report)
  return runs


@pytest.mark.slow
@pytest.mark.parametrize(
  ('split', 'count', 'total'), [('train', 30, 30), ('validation', 0, 152)]
)
def test_other_splits_and_fewer_examples_are_measured(
  split, count, total, trained, unmeasured
):
  measured(trained, split=split, num_examples=count)
  ((run, title, _),) = unmeasured
  stored, x = splits.load_split(trained.config, split)
  np.testing.assert_array_equal(run.x, x[:total])
  np.testing.assert_array_equal(run.stored.x, stored.x[:total])
  np.testing.assert_array_equal(run.stored.labels, stored.labels[:total])
  assert (run.split, run.step, run.epoch) == (split, 4, 2)
  assert run.is_whole == (not count)
  assert f'{total} {split} examples of digits' in title


@pytest.fixture
def calls(monkeypatch):
  """Name -> arguments and result of a function that `switches` calls."""
  found = {}

  def watch(name, **fixed):
    call = getattr(switches, name)

    def watched(*args, **options):
      result = call(*args, **options, **fixed)
      found[name] = types.SimpleNamespace(
        args=args, options=options, result=result
      )
      return result

    monkeypatch.setattr(switches, name, watched)

  for name in ('estimate_ais', 'estimate_nll', 'estimate_sandwich'):
    watch(name)
  watch('without_units')
  watch('measure_gaps', num_steps=3)
  return found


@pytest.mark.slow
def test_evaluation_repeats_the_metrics_and_adds_those_of_switches(
  copied, capsys, calls
):
  before = contents(copied.folder)
  metrics = measured(
    copied,
    dead_units=True,
    gaps=True,
    num_gap_examples=2,
    sandwich=True,
    num_sandwich_examples=2,
    num_chains=3,
    num_temperatures=5,
  )
  assert list(metrics) == [*copied.metrics, *MORE_KEYS]
  assert {name: metrics[name] for name in copied.metrics} == copied.metrics
  place = place_of(copied, 'test-step4-k3-dead_units-gaps2-sandwich2x3x5')
  line = line_of(place)
  assert {name: line[name] for name in metrics} == metrics
  assert line['num_examples'] == 270
  printed = capsys.readouterr().out
  nll = f'{copied.metrics["nll"]:.3f}'
  assert re.search(rf'NLL, K = 3 +{nll} \+- ', printed)
  page = (place / 'report.html').read_text()
  assert 'href="../../report.html"' in page
  assert 'at step 4 (epoch 2), 270 test examples of digits' in page
  assert 'log p(x) &lt;=, simulated' in page
  _check_run_is_unchanged(copied, before, place.name)
  _check_gaps_and_bounds(metrics)
  _check_calls(metrics, calls)


@pytest.mark.slow
def test_calibration_keeps_ranks_and_tails_and_draws_the_histograms(copied):
  metrics = measured(
    copied, calibration=True, num_simulations=100, num_samples=30
  )
  place = place_of(copied, 'test-step4-k30-calibration100')
  with np.load(place / 'per_example.npz') as arrays:
    ranks, pareto_k = arrays['calibration_ranks'], arrays['pareto_k']
  found = summarise(ranks, 99, 20)
  assert metrics['calibration_simulations'] == len(ranks) == 100
  assert metrics['calibration_p_value'] == found.p_value
  assert metrics['calibration_rejected'] == np.sum(found.p_values < 0.01)
  assert metrics['weights_examples'] == len(pareto_k) == 270
  assert metrics['weights_reliable'] == np.mean(pareto_k < 0.7)
  np.testing.assert_allclose(metrics['weights_nll'], metrics['nll'], rtol=1e-6)
  assert (place / 'figures' / 'calibration.png').exists()
  wanted = '--num_samples: got 24, expected at least 25'
  with pytest.raises(UserError, match=wanted):
    measured(copied, calibration=True, num_samples=24)


@pytest.mark.slow
def test_checks_are_printed_and_refuse_a_broken_model(
  copied, capsys, monkeypatch, unmeasured
):
  measured(copied, check=True)
  printed = capsys.readouterr().out
  names = ('batch', 'deterministic', 'support', 'gradients', 'normalised')
  for name in (*names, 'overlap'):
    assert re.search(rf'^  {name} +(passed|undecided) ', printed, re.M), name
  failed = Check('batch', False, 1.0, 0.1, 'words')
  monkeypatch.setattr(checks, 'check_model', lambda *args: (failed,))
  with pytest.raises(UserError, match='--check: the model failed batch: its'):
    measured(copied, check=True)
  assert len(unmeasured) == 1


def _check_run_is_unchanged(run, before, name):
  """Every file is the same, but for a link to the evaluation."""
  after = contents(run.folder)
  page = run.folder / 'report.html'
  linked, old = after.pop(page).decode(), before.pop(page).decode()
  assert after == before
  assert f'<a href="evaluations/{name}/report.html">{name}</a>' in linked
  assert html.with_links(linked, []) == old


def _check_gaps_and_bounds(metrics):
  assert metrics['gap_examples'] == metrics['sandwich_examples'] == 2
  np.testing.assert_allclose(
    metrics['sandwich_gap'],
    metrics['sandwich_upper'] - metrics['sandwich_lower'],
    rtol=1e-3,
    atol=1e-3,
  )
  np.testing.assert_allclose(
    metrics['gap_log_marginal'] - metrics['gap_elbo'],
    metrics['gap_approximation'] + metrics['gap_amortisation'],
    rtol=1e-3,
  )


def _check_calls(metrics, calls):
  ais, sandwich = calls['estimate_ais'], calls['estimate_sandwich']
  for call in (ais, sandwich):
    assert call.options['num_chains'] == 3
    assert call.options['num_temperatures'] == 5
  assert ais.args[0] != sandwich.args[0]
  assert len(ais.args[-1]) == sandwich.options['num_examples'] == 2
  for name, found in {
    'ais': ais.result,
    'sandwich_lower': sandwich.result.lower,
    'sandwich_upper': sandwich.result.upper,
  }.items():
    assert metrics[name] == found.mean
    assert metrics[f'{name}_standard_error'] == found.standard_error
    rate = found.per_example.acceptance_rate.mean()
    np.testing.assert_allclose(metrics[f'{name}_acceptance_rate'], rate)
  nll = calls['estimate_nll']
  assert nll.options['num_samples'] == metrics['nll_num_samples'] == 3
  assert nll.result.mean == metrics['nll_without_dead_units']
  _, active, means = calls['without_units'].args
  assert sum(active) == metrics['active_units']
  assert np.all(means != 0)


@pytest.mark.slow
def test_an_evaluation_without_figures(copied, capsys):
  options = {'num_examples': 5, 'report': 'table'}
  measured(copied, **options)
  place = place_of(copied, 'test-first5-step4-k3')
  assert 'No figures (--report=table)' in capsys.readouterr().out
  assert (place / 'report.html').is_file()
  assert not (place / 'figures').exists()


@pytest.mark.slow
def test_evaluations_of_one_example_and_of_all_differ(copied, undrawn):
  whole, one = measured(copied), measured(copied, num_examples=1)
  places = [
    place_of(copied, name) for name in ('test-step4-k3', 'test-first1-step4-k3')
  ]
  assert [line_of(each)['num_examples'] for each in places] == [270, 1]
  arrays = [np.load(each / 'per_example.npz') for each in places]
  assert [len(each['nll']) for each in arrays] == [270, 1]
  assert set(arrays[0]) == {'elbo', 'log_likelihood', 'kl', 'nll_k1', 'nll'}
  # Runs are compared in pairs: an example has the same noise in every run.
  np.testing.assert_allclose(arrays[0]['nll'][0], arrays[1]['nll'], rtol=1e-5)
  np.testing.assert_allclose(arrays[0]['nll'].mean(), whole['nll'], rtol=1e-6)
  np.testing.assert_allclose(arrays[1]['nll'][0], one['nll'], rtol=1e-6)
  assert 'active_units' in whole
  assert 'active_units' not in one
  with pytest.raises(UserError, match='--dead_units: got one example'):
    measured(copied, num_examples=1, dead_units=True)
  # A second time, the same line is not repeated.
  measured(copied, num_examples=1)
  line_of(places[1])


@pytest.mark.parametrize('content', [None, '', 'a letter\n', 'x' * 9])
def test_evaluation_does_not_depend_on_the_log_of_the_run(
  content, copied, unmeasured
):
  path = copied.folder / 'metrics.jsonl'
  path.unlink() if content is None else path.write_text(content)
  measured(copied)
  ((run, _, _),) = unmeasured
  assert (run.step, run.epoch) == (4, 2)


@pytest.mark.parametrize(
  ('options', 'name'),
  [
    ({}, 'test-step4-k5000'),
    ({'split': 'validation', 'num_samples': 3}, 'validation-step4-k3'),
    ({'num_examples': 7}, 'test-first7-step4-k5000'),
    ({'gaps': True}, 'test-step4-k5000-gaps100'),
    ({'sandwich': True}, 'test-step4-k5000-sandwich64x16x1000'),
    ({'calibration': True}, 'test-step4-k5000-calibration1000'),
    ({'num_chains': 3, 'num_gap_examples': 2}, 'test-step4-k5000'),
    ({'checkpoint': 'best', 'dead_units': True}, 'test-step4-k5000-dead_units'),
  ],
)
def test_name_of_an_evaluation_states_what_its_numbers_depend_on(options, name):
  assert evaluation.name_of(EvaluateConfig(**options), 4) == name


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'split': 'tests'}, '--split: got tests, expected one of train, valid'),
    ({'num_samples': 0}, '--num_samples: got 0, expected at least 1'),
    ({'num_examples': 10_000}, '--num_examples: got 10000, expected at .* 270'),
    ({'num_temperatures': 1}, '--num_temperatures: got 1, expected at least 2'),
  ],
)
def test_unsuitable_options_are_refused_in_one_line(trained, options, message):
  with pytest.raises(UserError, match=message) as error:
    measured(trained, **options)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('posterior', 'switch', 'message'),
  [
    (
      'full_normal',
      'dead_units',
      'MultivariateNormal, .* independent units',
    ),
    ('bernoulli', 'gaps', 'Bernoulli, expected one with a continuous z'),
    ('bernoulli', 'sandwich', 'Bernoulli, expected one with a continuous z'),
  ],
)
def test_switches_that_the_posterior_does_not_admit_are_refused(
  posterior, switch, message
):
  options = {'latent_dim': 2, 'hidden_sizes': (3,), 'posterior': posterior}
  if posterior == 'bernoulli':
    options |= {'prior': posterior, 'estimator': 'score_function'}
  vae = vj.make_vae(Config(**options).model, (4,))
  params, x = vae.init(jax.random.key(0)), np.zeros((3, 4), np.float32)
  check = lambda **given: evaluation._check_switches(
    EvaluateConfig(**given), vae, params, x
  )
  check()
  with pytest.raises(UserError, match=f'--{switch}: .*{message}'):
    check(**{switch: True})
  if posterior == 'full_normal':
    check(gaps=True, sandwich=True)


def test_a_prior_with_dependent_units_has_none_to_remove():
  options = {'latent_dim': 2, 'hidden_sizes': (3,), 'prior': 'mixture'}
  vae = vj.make_vae(Config(**options).model, (4,))
  params = jax.jit(vae.init)(jax.random.key(0))
  check = lambda **given: evaluation._check_switches(
    EvaluateConfig(**given), vae, params, np.zeros((3, 4), np.float32)
  )
  check(gaps=True, sandwich=True)
  wanted = '--dead_units: got the prior Mixture, expected one with independent'
  with pytest.raises(UserError, match=wanted):
    check(dead_units=True)


def test_checkpoint_of_another_architecture_is_named(copied, unmeasured):
  folder = RunFolder(copied.folder)
  other = copied.config.replace(latent_dim=4)
  folder.write_record(folder.read_record()._replace(config=other))
  with pytest.raises(checkpoint.CheckpointError, match=r'leaf .* the model'):
    measured(copied)
  assert not unmeasured


def test_older_checkpoint_is_used_if_the_newest_is_damaged(
  copied, unmeasured, caplog
):
  newest = copied.folder / 'checkpoints' / 'step_000000009'
  for suffix in ('.json', '.npz'):
    good = copied.folder / 'checkpoints' / f'step_000000004{suffix}'
    newest.with_suffix(suffix).write_bytes(good.read_bytes()[:100])
  measured(copied)
  assert unmeasured[0][0].step == 4
  assert 'skipping a damaged checkpoint' in caplog.text


@pytest.mark.parametrize('name', ['best', 'latest'])
def test_checkpoint_is_chosen_by_name(name, copied, unmeasured):
  folder = copied.folder / 'checkpoints'
  if name == 'best':
    for path in folder.glob('step_*'):
      path.unlink()
  else:
    for path in (folder / 'best').iterdir():
      path.unlink()
  measured(copied, checkpoint=name)
  assert unmeasured[0][0].step == 4


@pytest.mark.parametrize('folder', ['', 'none'])
def test_folder_without_a_run_is_named(folder, inside):
  with pytest.raises(UserError, match='no run'):
    evaluate(EvaluateConfig(workdir=folder))
