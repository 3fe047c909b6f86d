import json
import re

import jax
import numpy as np
import pytest

import vae_jax as vj
from vae_jax import data, plots
from vae_jax.errors import UserError
from vae_jax.evaluate import warning
from vae_jax.evaluate.statistics import Estimate
from vae_jax.io import logger
from vae_jax.runs import Config
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.record import Record
from vae_jax.runs.report import build, trained_run
from vae_jax.runs.save_figure import save_figure

NAME = '<b>"digits" & co.npz'
CONFIG = Config(latent_dim=3, hidden_sizes=(), dataset=NAME)
METRICS = {
  'nll_k1': Estimate(9.0, 0.1),
  'nll': Estimate(8.0, 0.1),
  'nll_num_samples': 5,
}
COUNT = 30


@pytest.fixture
def run(tmp_path):
  images = np.random.RandomState(0).randint(0, 256, (COUNT, 4, 4, 1), np.uint8)
  folder, record = RunFolder(tmp_path), Record(CONFIG, (4, 4, 1))
  folder.write_record(record)
  folder.log.write(1, 1, 'train', {'elbo': -9.0})
  vae = vj.make_vae(CONFIG.model, (4, 4, 1))
  return trained_run.TrainedRun(
    folder=folder,
    record=record,
    model=vae,
    params=vae.init(jax.random.key(0)),
    step=1,
    epoch=1,
    split='test',
    stored=data.Split(images, np.arange(COUNT)),
    x=(images > 99).astype(np.uint8),
  )


def collapsed(run):
  """The same run with an encoder that ignores x."""
  encoder = jax.tree.map(lambda x: 0 * x, run.params['encoder'])
  return run._replace(params=run.params | {'encoder': encoder})


def test_labels_are_those_of_the_measured_examples(run, monkeypatch):
  monkeypatch.setattr(trained_run, '_MAX_EXAMPLES', 10)
  latents, labels, _ = trained_run.measure_test_latents(run)
  assert (labels[0], labels[-1]) == (0, COUNT - 1)
  assert len(set(labels)) == 10
  x = run.x.astype(np.float32)[labels]
  means = jax.vmap(lambda x: run.model.encode(run.params, x).mean())(x)
  np.testing.assert_allclose(latents.means, means, rtol=1e-5)


@pytest.fixture(autouse=True)
def one_figure(monkeypatch):
  """Draws one small figure instead of nine; whole runs draw them all."""

  def draw_all(
    folder, model, params, images, preprocessed, curves, found, condition
  ):
    assert condition is None
    assert images.dtype == preprocessed.dtype == np.uint8
    assert [x['elbo'] for x in curves.records] == [-9.0]
    assert found.nll == {1: METRICS['nll_k1'], 5: METRICS['nll']}
    assert found.split == 'test'
    figure = plots.curves('Title', ('x', 'y'), {'line': ([0, 1], [0, 1])})
    return {save_figure(folder / 'small.png', figure): 'A caption.'}

  monkeypatch.setattr(build.figures, 'draw_all', draw_all)


def test_report_has_the_table_the_figures_and_the_options(run, capsys):
  rows = [('NLL, K = 5', '   8.000 +- 0.100 nats')]
  run = collapsed(run)
  run = run._replace(stored=run.stored._replace(labels=None))
  latents = trained_run.measure_test_latents(run)
  assert latents.labels is None
  assert latents.metrics == {'active_units': 0, 'latent_units': 3}
  paths = build.present(run, latents, METRICS, f'Of {NAME}', rows)
  printed = capsys.readouterr().out
  assert f'Of {NAME}\n  NLL, K = 5     8.000 +- 0.100 nats' in printed
  assert 'warning: 3 of 3 latent units' in printed
  *figures, page = paths
  assert page == run.folder.report
  assert all(path.is_file() for path in paths)
  text = page.read_text()
  assert [path.name for path in figures] == ['small.png']
  assert text.count('<img src="data:image/png;base64,') == 1
  assert '<figcaption>A caption.</figcaption>' in text
  assert '<td>8.000 ± 0.100 nats</td>' in text
  assert 'Maximises the ELBO' in text
  assert '&lt;b&gt;&quot;digits&quot; &amp; co.npz' in text
  assert '<b>' not in text
  assert f'<td>{jax.__version__}</td>' in text
  assert '<h2>Test split</h2>' in text
  assert '<th scope="row">latent_dim</th><td>3</td>' in text
  assert not list(run.folder.path.glob('.*'))


def test_the_heading_names_the_split_that_was_measured(run, monkeypatch):
  monkeypatch.setattr(build.figures, 'draw_all', lambda *args: {})
  run = run._replace(split='validation')
  latents = trained_run.measure_test_latents(run)
  build.present(run, latents, METRICS, 'Title', [('a', 'b')])
  text = run.folder.report.read_text()
  assert '<h2>Validation split</h2>' in text
  assert 'Test split' not in text


def test_figures_of_a_linked_folder_are_refused(run, tmp_path_factory):
  outside = tmp_path_factory.mktemp('outside')
  run.folder.figures.symlink_to(outside)
  latents = trained_run.measure_test_latents(run)
  with pytest.raises(UserError, match='symbolic link'):
    build.present(run, latents, METRICS, 'Title', [('a', 'b')])
  assert not list(outside.iterdir())


@pytest.fixture
def unmeasured(run, monkeypatch):
  """Leaves out what is slow; returns what is presented."""
  latents = trained_run.measure_test_latents(run)
  numbers = {'elbo': Estimate(-9.0, 0.5), 'log_likelihood': -6.0, 'kl': 3.0}
  presented = []
  each = {'nll': np.arange(COUNT), 'elbo': -np.arange(COUNT)}
  monkeypatch.setattr(
    trained_run, 'measure', lambda *args: (numbers | METRICS, each)
  )
  monkeypatch.setattr(trained_run, 'measure_exact', lambda *args: {'gap': 2.0})
  monkeypatch.setattr(trained_run, 'measure_test_latents', lambda run: latents)
  monkeypatch.setattr(
    build, 'present', lambda *args: presented.append(args) or ['a file']
  )
  return presented


def test_metrics_are_logged_once_before_they_are_presented(run, unmeasured):
  for _ in range(2):
    metrics, paths = build.report(
      run,
      'Title',
      num_samples=5,
      measure_more=lambda run, latents: trained_run.More(
        {'ais': Estimate(1.0, 0.5)}, {}
      ),
      more_rows=[('time', '1 s')],
    )
  assert paths == ['a file']
  last, *others = reversed(run.folder.log.read())
  assert len(others) == 1
  assert last == {'step': 1, 'epoch': 1, 'split': 'test'} | metrics
  assert metrics['ais_standard_error'] == 0.5
  assert metrics['latent_units'] == 3
  _, _, nested, title, table = unmeasured[0]
  assert (title, table[-1]) == ('Title', ('time', '1 s'))
  assert nested['ais'] == Estimate(1.0, 0.5)
  assert json.loads(run.folder.log._path.read_text().splitlines()[-1]) == last


def test_an_evaluation_has_a_place_of_its_own(run, unmeasured):
  before = run.folder.log._path.read_bytes()
  one = run._replace(evaluation='test-first1', x=run.x[:1], is_whole=False)
  for evaluated in (one, one, run._replace(evaluation='test-k5')):
    metrics, paths = build.report(evaluated, 'Title', num_samples=5)
    place = run.folder.path / 'evaluations' / evaluated.evaluation
    assert paths == [place / 'per_example.npz', 'a file']
    (line,) = logger.read_metrics(place / 'metrics.jsonl')
    where = {'step': 1, 'epoch': 1, 'split': 'test'}
    assert line == where | {'num_examples': len(evaluated.x)} | metrics
    with np.load(paths[0]) as arrays:
      np.testing.assert_array_equal(arrays['nll'], np.arange(COUNT))
  assert run.folder.log._path.read_bytes() == before


def test_evaluations_of_a_linked_folder_are_refused(
  run, unmeasured, tmp_path_factory
):
  outside = tmp_path_factory.mktemp('outside')
  (run.folder.path / 'evaluations').symlink_to(outside)
  with pytest.raises(UserError, match='symbolic link'):
    build.report(run._replace(evaluation='test'), 'Title', num_samples=5)
  assert not list(outside.iterdir())


def test_a_single_example_has_no_active_units(run, capsys):
  one = run._replace(x=run.x[:1], stored=data.Split(run.stored.x[:1], None))
  latents = trained_run.measure_test_latents(one)
  assert latents.metrics == {}
  assert warning(latents.latents) == ''


@pytest.mark.parametrize(
  ('labels', 'names', 'expected'),
  [
    ([2, 0], ['cat', 'dog', 'emu'], ['emu', 'cat']),
    ([2, 0], ['cat', 'dog'], [2, 0]),
    ([2, 0], [], [2, 0]),
    (['a', 'b'], ['cat', 'dog', 'emu'], ['a', 'b']),
    ([-1, 0], ['cat'], [-1, 0]),
    ([0.5, 0.0], ['cat'], [0.5, 0.0]),
  ],
)
def test_labels_have_the_names_of_their_classes(
  run, monkeypatch, labels, names, expected
):
  monkeypatch.setattr(data, 'class_names', lambda *args, **options: names)
  monkeypatch.setattr(trained_run, 'measure_latents', lambda *args: None)
  stored = data.Split(run.stored.x[:2], np.array(labels))
  found = trained_run.measure_test_latents(
    run._replace(x=run.x[:2], stored=stored)
  )
  assert found.labels.tolist() == expected


def test_a_report_without_readable_metrics_is_one_warning(
  run, monkeypatch, capsys
):
  run.folder.log._path.write_text('a letter\n')
  assert build._curves(run) is None
  out = capsys.readouterr().out
  assert re.fullmatch(r'warning: .*metrics.jsonl, line 1: damaged .*\n', out)
  assert build._curves(run._replace(evaluation='test')) is None
  assert capsys.readouterr().out == ''


@pytest.mark.slow
@pytest.mark.parametrize(
  ('change', 'is_exact'),
  [
    ({}, True),
    ({'split': 'validation'}, False),
    ({'is_whole': False}, False),
    ({'record': Record(CONFIG, (4, 4, 1), custom_model='Flow')}, False),
  ],
)
def test_exact_metrics_are_of_the_whole_test_split(
  change, is_exact, run, unmeasured
):
  metrics, _ = build.report(run._replace(**change), 'Title', num_samples=5)
  assert ('gap' in metrics) == is_exact


def test_no_warning_if_most_units_are_active(run, capsys):
  latents = trained_run.measure_test_latents(run)
  build.present(run, latents, METRICS, 'Title', [('a', 'b')])
  assert 'warning' not in capsys.readouterr().out


@pytest.mark.parametrize(
  ('x', 'pixels'),
  [
    (np.full((2, 1, 1, 1), 7, np.uint8), np.full((2, 1, 1, 1), 7)),
    (np.full((2, 1, 1, 1), 300, np.int32), np.full((2, 1, 1, 1), 300)),
    (np.array([[[[0.2]]], [[[np.nan]]]]), [[[[51]]], [[[0]]]]),
    (np.array([[[[-0.2]]], [[[np.nan]]]]), [[-0.2], [np.nan]]),
  ],
)
def test_pixels_and_counts_are_drawn_as_images(x, pixels):
  np.testing.assert_array_equal(build._as_pixels(x), pixels)
