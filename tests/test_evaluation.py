import json
import types

import numpy as np
import pytest

import vae_jax as vj
from vae_jax import checkpoint, data, evaluation, loop, report
from vae_jax.config import EvaluateConfig
from vae_jax.errors import UserError

CONFIG = vj.Config(
  latent_dim=3,
  hidden_sizes=(16,),
  num_epochs=2,
  batch_size=200,
  nll_num_samples=2,
)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A short run on the digits, and its test metrics."""
  folder = tmp_path_factory.mktemp('run')
  return folder, loop.train(CONFIG, str(folder))


def evaluate(run, **options):
  options = {'workdir': str(run[0]), 'num_samples': 2} | options
  return evaluation.evaluate_run(EvaluateConfig(**options))


def test_the_same_k_gives_the_numbers_of_the_training(run):
  metrics = evaluate(run)
  assert metrics == {name: run[1][name] for name in metrics}


@pytest.mark.parametrize(
  ('split', 'count', 'total'), [('train', 30, 30), ('validation', 0, 152)]
)
def test_other_splits_have_their_own_numbers(
  run, split, count, total, capsys, monkeypatch
):
  seen, measure = [], report.measure
  watched = lambda *args: seen.append(args[2]) or measure(*args)
  monkeypatch.setattr(report, 'measure', watched)
  # What is exact is known of the whole test split alone: never called.
  monkeypatch.setattr(report, 'measure_exact', None)
  metrics = evaluate(run, split=split, num_examples=count)
  wanted = report.load_split(CONFIG, split)[1][:total]
  np.testing.assert_array_equal(seen[0], wanted)
  assert f'{total} {split} examples of digits' in capsys.readouterr().out
  last = json.loads((run[0] / 'metrics.jsonl').read_text().splitlines()[-1])
  assert (last['split'], last['nll']) == (split, metrics['nll'])


def test_the_first_examples_are_those_of_the_whole_split(run, monkeypatch):
  all_of_them = evaluate(run)
  monkeypatch.setattr(report, 'measure_exact', None)
  few = evaluate(run, num_examples=5)
  assert few['nll'] != all_of_them['nll']
  assert few['nll_standard_error'] > all_of_them['nll_standard_error']


def test_the_first_examples_keep_their_labels():
  nine = np.arange(9)
  some, prepared = evaluation._some(data.Split(nine, nine), nine, 4)
  for part in (*some, prepared):
    assert part.tolist() == [0, 1, 2, 3]


@pytest.fixture
def calls(monkeypatch):
  """Name -> what `evaluation` gives to a function, and gets back."""
  found = {}

  def watch(name):
    call = getattr(evaluation, name)

    def watched(*args, **options):
      result = call(*args, **options)
      found[name] = types.SimpleNamespace(
        args=args, options=options, result=result
      )
      return result

    monkeypatch.setattr(evaluation, name, watched)

  for name in (
    *('estimate_ais', 'estimate_nll', 'estimate_sandwich', 'measure_gaps'),
    'without_units',
  ):
    watch(name)
  return found


def test_switches_add_their_rows_and_numbers(run, capsys, calls):
  metrics = evaluate(
    run,
    num_examples=6,
    num_samples=3,
    dead_units=True,
    gaps=True,
    num_gap_examples=2,
    sandwich=True,
    num_sandwich_examples=2,
    num_chains=3,
    num_temperatures=5,
  )
  printed = capsys.readouterr().out
  for words in (
    *('NLL without dead units', 'log p(x) - L[q*]', 'L[q*] - L[q]'),
    *('log p(x) <=, simulated', 'log p(x) >=, simulated', 'the gap between'),
    *('log p(x) >=, this split', 'accepted, from above'),
  ):
    assert words in printed
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
  error = sandwich.result.gap_standard_error
  assert metrics['sandwich_gap_standard_error'] == error
  nll = calls['estimate_nll']
  assert nll.options['num_samples'] == metrics['nll_num_samples'] == 3
  assert nll.result.mean == metrics['nll_without_dead_units']
  _, active, means = calls['without_units'].args
  assert sum(active) == metrics['active_units']
  assert np.all(means != 0)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'split': 'tests'}, '--split=tests: must be one of train, validation'),
    ({'num_samples': 0}, '--num_samples=0: must be at least 1'),
    ({'num_examples': 10_000}, '--num_examples=10000: the split has 270'),
    ({'num_temperatures': 1}, '--num_temperatures=1: must be at least 2'),
  ],
)
def test_what_cannot_be_measured_is_refused_in_a_line(run, options, message):
  with pytest.raises(UserError, match=message) as error:
    evaluate(run, **options)
  assert '\n' not in str(error.value)


def test_a_checkpoint_of_another_architecture_is_named(run, tmp_path):
  other = vj.Config(**(vars(CONFIG) | {'latent_dim': 4}))
  loop.train(other, str(tmp_path))
  for path in (tmp_path / 'checkpoints').glob('step_*'):
    path.unlink()
  for path in (run[0] / 'checkpoints').glob('step_*'):
    (tmp_path / 'checkpoints' / path.name).write_bytes(path.read_bytes())
  with pytest.raises(checkpoint.CheckpointError, match=r'leaf .* the model'):
    evaluation.evaluate_run(
      EvaluateConfig(workdir=str(tmp_path), num_samples=2)
    )


@pytest.mark.parametrize('folder', ['', 'none'])
def test_a_folder_without_a_run(folder, inside):
  with pytest.raises(UserError, match='no run'):
    evaluation.evaluate_run(EvaluateConfig(workdir=folder))
