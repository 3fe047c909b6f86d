"""The command reproduce: runs, lists and tabulates; only finished numbers."""

import contextlib
import io
import json
import pathlib
import shutil

import numpy as np
import pytest

from experiments import reproduce
from experiments.cells import (
  cell,
  curves,
  listing,
  probe,
  runs,
  tabulate,
  words,
)
from experiments.cells.cell import CELLS, load
from experiments.cells.markdown import render
from experiments.cells.published import PUBLISHED
from experiments.cells.results import read_results, unfinished
from vae_jax.errors import UserError
from vae_jax.evaluate import estimate_mean
from vae_jax.io.logger import MetricsLogger
from vae_jax.runs import RunFolder, flags, train
from vae_jax.runs.record import Record
from vae_jax.runs.seeds import by_seed

ROOT = pathlib.Path(__file__).parents[3]
TEST = {
  'elbo': -9.9,
  'elbo_standard_error': 0.3,
  'nll': 9.75,
  'nll_standard_error': 0.25,
  'nll_num_samples': 3,
  'active_units': 2,
}


def call(*argv):
  """Returns the exit code, the text of stdout and the lines of stderr."""
  out, err, code = io.StringIO(), io.StringIO(), 0
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
      flags.run(lambda _: reproduce.main(['reproduce', *argv]))
    except SystemExit as stop:
      code = stop.code
  return code, out.getvalue(), err.getvalue().splitlines()


def write_run(path, *, epochs=2, test=TEST, test_step=0, **options):
  """Writes a folder as a run of the cell tiny leaves it, without arrays."""
  path.mkdir(parents=True)
  folder = RunFolder(path)
  config = load('tiny').training.replace(**options)
  folder.write_record(Record(config, (4,)))
  for epoch in range(1, epochs + 1):
    metrics = {'elbo': -9.0 - 1 / epoch, 'examples_per_second': 350.0}
    folder.log.write(epoch, epoch, 'train', metrics)
    folder.log.write(epoch, epoch, 'validation', {'elbo': -9.0})
  if test:
    step = test_step or epochs
    folder.log.write(step, step, 'test', test)
  return folder


def collect():
  return tabulate.collect('runs/reproduce', load('tiny'))


@pytest.mark.slow
@pytest.mark.long
def test_a_cell_is_resumed_measured_and_not_trained_again(
  tiny, monkeypatch, capsys
):
  config = load('tiny').training
  # The run of one epoch is not that of the cell.
  few = config.replace(num_epochs=1, nll_num_samples=2)
  train(few, folder=tiny / 'tiny')
  assert not collect().finished
  code, out, errors = call('tiny', '--report=table')
  assert (code, errors) == (0, [])
  assert 'resuming from step 7' in out
  found = collect()
  assert found.finished
  assert found.epochs == 2
  assert f'NLL {words.number(found.nll)} nats, K = 3' in out
  assert 'published     NLL 9.50 nats, Nobody 2000, active units 1' in out
  assert f'difference    {found.nll[0] - 9.5:+.2f} nats' in out
  files = {x: x.stat().st_mtime_ns for x in tiny.rglob('*') if x.is_file()}
  monkeypatch.setattr(runs, 'train', None)
  code, again, errors = call('--num_seeds=1', 'tiny')
  assert (code, errors) == (0, [])
  assert 'tiny: finished in' in again
  assert out.endswith(again.partition('\n')[2])
  now = {x: x.stat().st_mtime_ns for x in tiny.rglob('*') if x.is_file()}
  assert now == files


@pytest.mark.slow
@pytest.mark.long
def test_seeds_have_a_folder_of_their_own_and_a_probe_its_pace(tiny):
  code, out, errors = call('--num_seeds=2', 'tiny')
  assert (code, errors) == (0, [])
  assert '(standard error over 2 seeds)' in out
  assert [x.name for x in tiny.iterdir()] == ['tiny-2seeds']
  assert collect().num_seeds == 2
  code, out, errors = call('tiny', '--probe', '--workdir=probed')
  assert (code, errors) == (0, [])
  pace = probe.read('probed')['tiny']['seconds_per_epoch']
  assert 0 < pace < 60
  assert f'{pace:.3g} s per epoch and seed' in out
  code, out, errors = call('--list', '--workdir=probed')
  assert f'about {words.duration(2 * pace)}' in out


@pytest.mark.slow
def test_a_cell_that_starts_at_another_one_trains_that_first(tiny, caplog):
  (cell.FLAGFILES / 'other.flags').write_text(
    '# Another cell.\n--flagfile=experiments/flagfiles/tiny.flags\n'
    '--num_epochs=1\n--warm_start=runs/reproduce/tiny\n'
  )
  results_of = lambda: tabulate.collect('runs/reproduce', load('other'))
  # A start of another length is another cell.
  half = load('tiny').training.replace(num_epochs=1)
  train(half, folder='half/tiny')
  from_half = load('other').training.replace(warm_start='half/tiny')
  train(from_half, folder=tiny / 'other')
  assert not results_of().finished
  assert 'a start at half/tiny at step 7 (epoch 1)' in caplog.messages[-1]
  shutil.rmtree(tiny)
  code, out, errors = call('other')
  assert (code, errors) == (0, [])
  assert 'warm start from runs/reproduce/tiny at step 14 (epoch 2)' in out
  assert out.index('tiny: A tiny cell') < out.index('other: Another cell')
  assert results_of().finished
  # Runs that are moved are still those of the cells.
  tiny.rename('moved')
  assert tabulate.collect('moved', load('other')).finished
  code, out, errors = call('other', '--workdir=moved')
  assert (code, errors) == (0, [])
  assert 'other: finished in moved/other' in out


def test_the_list_shows_published_ours_and_time(tiny):
  code, out, errors = call('--list')
  assert (code, errors) == (0, [])
  _, first, second, *_ = out.splitlines()
  row = 'tiny  3  9.50  not started  unknown  Nobody 2000; a note'
  assert first.split() == row.split()
  assert second.split()[:4] == ['other', '3', 'not', 'started']
  write_run(tiny / 'tiny', epochs=1, test=None)
  _, out, _ = call('tiny', '--list')
  # An epoch has 700 examples of a batch.
  assert 'epoch 1 of 2  ' in out
  assert 'about 4 s' in out
  assert 'other' not in out
  write_run(tiny / 'tiny-2seeds', num_seeds=2, test=seeds(TEST, TEST))
  _, out, _ = call('tiny', '--list')
  assert '9.75 +- 0.00' in out
  assert '  2 s ' in out
  # Of another clone, as this revision keeps it.
  call('--table')
  (tiny / 'results.json').rename(listing.KEPT)
  _, out, _ = call('tiny', '--list', '--workdir=elsewhere')
  assert '9.75 +- 0.00 (recorded)' in out


def seeds(*each):
  return by_seed(range(len(each)), [{**one} for one in each])


def test_errors_are_over_seeds_and_the_run_of_most_seeds_counts(tiny):
  write_run(tiny / 'tiny')
  assert collect().nll == [9.75, 0.25]
  each = [
    TEST | {'nll': x, 'active_units': u} for x, u in ((9.0, 1), (10.0, 2))
  ]
  write_run(tiny / 'tiny-2seeds', num_seeds=2, test=seeds(*each))
  found = collect()
  exact = estimate_mean(np.array([9.0, 10.0]))
  assert found.nll == [exact.mean, exact.standard_error]
  assert found.active == [1.5]
  assert found.num_seeds == 2
  # Two epochs of one step of 700 examples, at 350 examples/s of each seed.
  assert found.seconds == pytest.approx(4.0)


UNFINISHED = {
  'no run': None,
  'no report': {'test': None},
  'fewer epochs': {'epochs': 1},
  'test metrics of an earlier step': {'test_step': 1},
  'another K': {'test': TEST | {'nll_num_samples': 500}},
  'not a number': {'test': TEST | {'nll': float('nan')}},
  'another seed': {'seed': 5},
  'another model': {'latent_dim': 3},
  'fewer epochs by option': {'num_epochs': 1, 'epochs': 1},
}


@pytest.mark.parametrize('name', UNFINISHED)
def test_a_run_that_is_not_the_cell_is_never_a_number(name, tiny):
  if UNFINISHED[name] is not None:
    write_run(tiny / 'tiny', **UNFINISHED[name])
  code, out, _ = call('--table')
  assert code == 0
  rows = [line for line in out.splitlines() if line.startswith('| `tiny`')]
  assert rows == [
    '| `tiny` | 3 | 9.50 (1) | not finished |  |  |  | Nobody 2000; a note |'
  ]
  [record, _] = json.loads((tiny / 'results.json').read_text())
  assert 'nll' not in record
  assert (tiny / 'results.md').read_text() == out


def test_a_changed_or_edited_run_is_left_out_with_a_warning(tiny, caplog):
  folder = write_run(tiny / 'tiny')
  assert collect().finished
  record = json.loads(folder.config.read_text())
  for changed, words_ in (
    (record | {'changes': [{'step': 1, 'options': {'beta': [2, 1]}}]}, 'resum'),
    (record | {'digest': 'x'}, 'was edited'),
  ):
    folder.config.write_text(json.dumps(changed))
    caplog.clear()
    assert not collect().finished
    assert words_ in caplog.messages[-1]
  folder.config.write_text('{')
  assert not collect().finished


def test_an_evaluation_at_the_k_of_the_cell_and_its_gaps_count(tiny):
  folder = write_run(tiny / 'tiny', test=TEST | {'nll_num_samples': 500})
  gaps = {
    'gap_examples': 10,
    'gap_approximation': 0.5,
    'gap_approximation_standard_error': 0.1,
    'gap_amortisation': 1.5,
    'gap_amortisation_standard_error': 0.2,
  }

  def evaluate(name, step=2, **metrics):
    path = folder.path / 'evaluations' / name
    path.mkdir(parents=True)
    log = MetricsLogger(path / 'metrics.jsonl')
    log.write(step, step, name.split('-')[0], metrics)

  # Of some examples, of another step, of another K whose name begins alike.
  evaluate('test-first10-step2-k3', **TEST | {'nll': 1.0})
  evaluate('test-step1-k3', step=1, **TEST | {'nll': 2.0})
  evaluate('test-step2-k30', **TEST | {'nll': 3.0, 'nll_num_samples': 30})
  evaluate('validation-step2-k3', **TEST | {'nll': 4.0})
  assert not collect().finished
  evaluate('test-step2-k3-gaps10', **TEST, **gaps)
  found = collect()
  assert found.nll == [9.75, 0.25]
  assert found.gap_examples == 10
  assert found.gap_approximation == [0.5, 0.1]
  assert found.gap_amortisation == [1.5, 0.2]


def test_an_early_stop_finishes_a_run_at_its_best_step(tiny, monkeypatch):
  path = pathlib.Path('experiments/flagfiles/tiny.flags')
  text = path.read_text().replace('num_epochs=2', 'num_epochs=9')
  path.write_text(text + '--patience=2\n')
  monkeypatch.setattr(RunFolder, 'best_step', lambda folder: 1)
  folder = write_run(tiny / 'tiny', epochs=2, test=None)
  folder.log.write(1, 1, 'test', TEST)
  assert not collect().finished
  folder.log.write(3, 3, 'train', {'elbo': -9.0, 'examples_per_second': 1.0})
  assert collect().finished
  assert collect().train_elbo == -10.0


def test_an_epoch_without_a_pace_counts_with_that_of_the_others(tiny):
  folder = write_run(tiny / 'tiny', epochs=1, test=None)
  folder.log.write(2, 2, 'train', {'elbo': -9.0, 'examples_per_second': 0.0})
  folder.log.write(2, 2, 'test', TEST)
  assert collect().seconds == pytest.approx(4.0)


MISTAKES = {
  'unknown cell': (['tony'], "got 'tony', expected a cell. Did you mean tiny?"),
  'no cell': ([], 'got no name, expected that of a cell. --list shows all'),
  'unknown flag': (['tiny', '--seeds=3'], 'unknown flag --seeds'),
  'flag without hyphens': (['num_seeds=3'], 'did you mean --num_seeds=3?'),
  'two tasks': (['--list', '--table'], '--list with --table'),
  'data of a set': (
    ['tiny', '--dataset=a.npz'],
    'its data are those of the flagfile; leave --dataset out',
  ),
  'workdir is a file': (['--list', '--workdir=f'], 'got a file, expected a'),
  'workdir below a file': (['tiny', '--workdir=f/a'], '--workdir=f/a: got'),
  'workdir of another run': (['tiny', '--workdir=used'], '--latent_dim=2'),
  'workdir of other data': (
    ['tiny', '--workdir=other_data'],
    'got --dataset=digits, expected the options of the flagfile',
  ),
}


@pytest.mark.parametrize('name', MISTAKES)
def test_a_mistake_is_one_line(name, tiny):
  pathlib.Path('f').touch()
  write_run(pathlib.Path('used/tiny'), latent_dim=3)
  digests = {'train': 'a', 'validation': 'b', 'test': 'c'}
  folder = write_run(pathlib.Path('other_data/tiny'))
  record = folder.read_record(dataset='digits')
  folder.write_record(record._replace(data_digests=digests))
  argv, message = MISTAKES[name]
  code, _, errors = call(*argv)
  assert code == 2
  assert len(errors) == 1
  assert message in errors[0]


def test_a_cell_whose_data_are_yours_names_the_file(inside):
  code, _, errors = call('caltech_silhouettes')
  assert code == 2
  [line] = errors
  assert 'caltech_silhouettes.flags describes. Name it by --dataset=PATH' in (
    line
  )
  assert not list(inside.iterdir())


def test_a_gradient_study_is_a_cell_of_its_own_command(inside):
  code, _, errors = call('mcge_logistic', '--num_seeds=3')
  assert code == 2
  assert 'a study of one seed' in errors[0]
  cell, folder = load('mcge_logistic'), inside / 'runs' / 'mcge_logistic'
  lines = [
    {'suite': 'logistic', 'setting': f'{q} covariance', 'estimator': name}
    | {'step': step, 'variance': variance}
    for q, name, step, variance in (
      ('diagonal', 'score function', 500, 7.0),
      ('diagonal', 'pathwise', 5000, 0.25),
      ('diagonal', 'score function', 5000, 8.0),
      ('full', 'pathwise', 5000, 9.0),
    )
  ]
  folder.mkdir(parents=True)
  path = folder / 'results.json'
  path.write_text(json.dumps(lines[:1]))
  assert not tabulate.collect('runs', cell).finished
  path.write_text(json.dumps(lines))
  found = tabulate.collect('runs', cell)
  assert found.variances == {'pathwise': 0.25, 'score function': 8.0}
  assert render([found]).splitlines()[-2:] == [
    '| pathwise | 0.25 |',
    '| score function | 8 |',
  ]


def test_curves_are_drawn_against_samples(inside, monkeypatch):
  drawn = []
  monkeypatch.setattr(
    curves, 'save_figure', lambda path, figure: drawn.append((path, figure))
  )
  path = inside / 'aevb_mnist_3'
  path.mkdir()
  RunFolder(path).log.write(590, 1, 'validation', {'elbo': -130.0})
  curves.draw(inside, {'aevb_mnist_3': path, 'iwae_5': path})
  [(file, figure)] = drawn
  assert file.name == 'curves_mnist.png'
  [line] = figure.axes[0].lines
  assert line.get_xydata().tolist() == [[59_000, -130]]


def test_durations_have_two_digits():
  words_ = [words.duration(x) for x in (None, 0.2, 59, 150, 7000, 1e5)]
  assert words_ == ['', '1 s', '59 s', '2.5 min', '1.9 h', '28 h']
  assert words.units([16.0, 5.25]) == '16+5.2'


def test_the_kept_results_are_those_of_all_cells():
  """A cell that is added or whose number changes wants a new --table."""
  results = read_results(listing.KEPT)
  assert [x.name for x in results] == [*CELLS]
  for result in results:
    known = unfinished(load(result.name))
    assert (
      result[: len(known) - len(known._field_defaults)]
      == (known[: len(known) - len(known._field_defaults)])
    )
    assert result.finished == bool(result.nll or result.variances)
    if result.name in PUBLISHED:
      assert result.published == PUBLISHED[result.name].value


def test_the_tables_of_the_readme_are_those_of_the_kept_results():
  """`reproduce --table` prints and keeps them; nothing is typed by hand."""
  readme = (ROOT / 'README.md').read_text()
  start, end = '<!-- reproduce --table -->\n', '<!-- end of the table -->'
  assert readme.count(start) == readme.count(end) == 1
  table = readme.split(start)[1].split(end)[0]
  assert table.strip('\n') == render(read_results(listing.KEPT))


def test_damaged_results_are_one_line(tmp_path):
  path = tmp_path / 'results.json'
  for text in ('[', '[{"name": "nobody"}]', '[1]', '3'):
    path.write_text(text)
    with pytest.raises(UserError, match=r'results\.json: damaged'):
      read_results(path)
  with pytest.raises(UserError, match=r'none\.json: cannot be read \(No such'):
    read_results(tmp_path / 'none.json')
