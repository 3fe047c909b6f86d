"""Differences of runs: paired, unpaired, or marked as not comparable."""

import json
import math
import shutil

import numpy as np
import pytest

from vae_jax.errors import UserError
from vae_jax.evaluate import estimate_mean
from vae_jax.runs.after.comparing import compare
from vae_jax.runs.after.differences import (
  PAIRED,
  UNPAIRED,
  compare_runs,
  options_that_differ,
  short_names,
)
from vae_jax.runs.after.measured import read_run
from vae_jax.runs.config import CompareConfig

STEP, COUNT = 4, 270


@pytest.fixture
def two(trained, tmp_path):
  """Two copies of a run."""
  folders = [tmp_path / name for name in ('a', 'b')]
  for folder in folders:
    shutil.copytree(trained.folder, folder)
  return folders


def evaluate(folder, nll, *, k=9, step=STEP, elbo=None):
  """Writes an evaluation as `evaluate` does, with these numbers."""
  place = folder / 'evaluations' / f'test-step{step}-k{k}'
  place.mkdir(parents=True)
  elbo = -nll if elbo is None else elbo
  line = {'step': step, 'epoch': 2, 'split': 'test', 'num_examples': COUNT}
  for name, values in (('nll', nll), ('elbo', elbo)):
    mean, error = estimate_mean(values)
    line |= {name: mean, f'{name}_standard_error': error}
  line |= {'nll_num_samples': k, 'active_units': 1, 'latent_units': 2}
  (place / 'metrics.jsonl').write_text(json.dumps(line) + '\n')
  np.savez(place / 'per_example.npz', nll=nll, elbo=elbo)


def edit(folder, change):
  """Changes config.json, as its own digest does not notice."""
  path = folder / 'config.json'
  content = json.loads(path.read_text())
  change(content)
  del content['digest']
  path.write_text(json.dumps(content))


def second(folders):
  found = compare_runs([read_run(str(folder)) for folder in folders])
  return found, found.rows[1]


@pytest.mark.slow
def test_evaluations_of_the_same_examples_are_paired(two):
  rng = np.random.default_rng(0)
  base = rng.normal(25, 5, COUNT)
  shift = rng.normal(0.5, 0.1, COUNT)
  evaluate(two[0], base)
  evaluate(two[1], base + shift)
  found, row = second(two)
  assert found.key == ('test', COUNT, 9)
  value, kind = row.differences['nll']
  assert kind == PAIRED
  assert value.mean == pytest.approx(shift.mean())
  # Much smaller than without pairs: 0.1 and not 5 per example.
  expected = shift.std(ddof=1) / math.sqrt(COUNT)
  assert value.standard_error == pytest.approx(expected)
  assert row.differences['elbo'].estimate.mean == pytest.approx(-shift.mean())


def test_reports_are_unpaired(two):
  found, row = second(two)
  assert found.key is None
  value, kind = row.differences['nll']
  assert kind == UNPAIRED
  error = found.rows[0].values['nll'].standard_error
  assert value == (0, pytest.approx(math.sqrt(2) * error))


@pytest.mark.parametrize('other', [{'k': 10}, {'step': 2}])
def test_evaluations_of_another_k_or_step_are_not_paired(other, two):
  values = np.linspace(20, 30, COUNT)
  evaluate(two[0], values)
  evaluate(two[1], values, **other)
  found, row = second(two)
  assert found.key is None
  assert row.differences['nll'].kind == UNPAIRED


def test_another_k_is_not_subtracted(two):
  path = two[1] / 'metrics.jsonl'
  text = path.read_text()
  assert '"nll_num_samples": 3' in text
  path.write_text(text.replace('"nll_num_samples": 3', '"nll_num_samples": 4'))
  _, row = second(two)
  assert row.differences['nll'] == (None, '')
  assert row.differences['elbo'].kind == UNPAIRED
  assert 'K = 4, run 1 has K = 3' in row.notes[0]


@pytest.mark.parametrize(
  'change',
  [
    lambda content: content['data_digests'].update(test='0' * 64),
    lambda content: content.update(data_digests=None),
    lambda content: content['model'].update(likelihood='normal'),
  ],
)
def test_other_data_are_marked_and_not_subtracted(change, two):
  values = np.linspace(20, 30, COUNT)
  for folder in two:
    evaluate(folder, values)
  edit(two[1], change)
  _, row = second(two)
  assert row.differences['nll'] == row.differences['elbo'] == (None, '')
  assert row.notes[0].startswith('not comparable with run 1: other ')


def test_options_that_differ_are_listed(two):
  edit(two[1], lambda content: content['optimizer'].update(batch_size=499))
  runs = [read_run(str(folder)) for folder in two]
  assert options_that_differ(runs, ()) == {'batch_size': [500, 499]}
  assert options_that_differ(runs, ('batch_size',)) == {}


def test_names_are_short_where_they_differ():
  assert short_names(['x/a', 'x/b/']) == ['a', 'b']
  assert short_names(['x/a', 'y/a']) == ['x/a', 'y/a']


def test_table_and_figure_are_written(two, tmp_path, capsys):
  values = np.linspace(20, 30, COUNT)
  evaluate(two[0], values)
  evaluate(two[1], values - 1)
  place = tmp_path / 'place'
  runs = tuple(map(str, two))
  compare(CompareConfig(workdirs=runs, workdir=str(place)))
  printed = capsys.readouterr().out
  text = (place / 'compare.md').read_text()
  assert '-1.000 ± 0.000' in text
  assert 'Differences are paired' in text
  assert text.splitlines()[2] in printed
  assert (place / 'compare.png').stat().st_size > 10_000


@pytest.mark.parametrize('damage', ['cut', 'nll'])
def test_damaged_numbers_are_one_line(damage, two):
  values = np.linspace(20, 30, COUNT)
  for folder in two:
    evaluate(folder, values)
  path = next(two[1].glob('evaluations/*/per_example.npz'))
  if damage == 'cut':
    path.write_bytes(path.read_bytes()[:100])
  else:
    np.savez(path, nll=values[:5], elbo=values)
  with pytest.raises(UserError, match='evaluate again') as error:
    second(two)
  assert '\n' not in str(error.value)


def test_unsuitable_runs_are_one_line(trained, two, tmp_path):
  one = str(trained.folder)
  for runs, message in (
    ((one,), 'got 1 runs, expected two or more'),
    ((one, one), 'twice, expected it once'),
    ((one, str(tmp_path / 'none')), 'holds no run'),
  ):
    with pytest.raises(UserError, match=message):
      compare(CompareConfig(workdirs=runs, workdir=str(tmp_path / 'x')))
  path = two[1] / 'metrics.jsonl'
  lines = [x for x in path.read_text().splitlines() if '"test"' not in x]
  path.write_text('\n'.join(lines) + '\n')
  with pytest.raises(UserError, match='got no test metrics'):
    second(two)
  assert not (tmp_path / 'x').exists()
