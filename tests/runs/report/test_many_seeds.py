"""Reports of many seeds: each is measured, and their means are presented."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests import helpers
from vae_jax import data
from vae_jax.evaluate.statistics import Estimate
from vae_jax.io import checkpoint, logger
from vae_jax.runs import Config
from vae_jax.runs.folder import RunFolder
from vae_jax.runs.record import Record
from vae_jax.runs.report import best, build, many_seeds, trained_run
from vae_jax.runs.report.metrics import make_evaluators, measure
from vae_jax.runs.report.table import rows, rows_over_seeds
from vae_jax.training.seeds import stack_trees

COUNT = 30
CONFIG = Config(latent_dim=3, hidden_sizes=(), seed=5, num_seeds=2)
EACH = [
  {
    'elbo': Estimate(mean, 0.5),
    'log_likelihood': mean + 3.0,
    'kl': 3.0,
    'nll_k1': Estimate(-mean, 0.5),
    'nll': Estimate(-mean - 1, 0.5),
    'nll_num_samples': 5,
    'active_units': active,
    'latent_units': 3,
  }
  for mean, active in ((-9.0, 2), (-7.0, 3))
]


def test_table_has_means_and_standard_errors_over_seeds():
  more = [{'gap_examples': 10, 'ais_acceptance_rate': x} for x in (0.5, 0.75)]
  each = [a | b for a, b in zip(EACH, more, strict=True)]
  assert rows_over_seeds(each) == [
    ('ELBO', '    -8.000 +- 1.000 nats'),
    ('= log likelihood', '    -5.000 +- 1.000 nats'),
    ('- KL', '     3.000 +- 0.000 nats'),
    ('NLL, K = 1', '     8.000 +- 1.000 nats'),
    ('NLL, K = 5', '     7.000 +- 1.000 nats'),
    ('active units', '     2.500 +- 0.500 of 3'),
    ('Gaps, examples', '    10'),
    ('acceptance rate, this split', '     0.625 +- 0.125'),
  ]
  # One seed keeps its standard errors over examples.
  assert rows(EACH[0])[0] == ('ELBO', '    -9.000 +- 0.500 nats')
  assert rows(EACH[0], 1)[-1] == (
    'active units',
    '     2 of 3, 1 with more than 0.1 nats of KL',
  )


@pytest.fixture
def run(tmp_path):
  images = np.random.RandomState(0).randint(0, 256, (COUNT, 4, 4, 1), np.uint8)
  folder, record = RunFolder(tmp_path), Record(CONFIG, (4, 4, 1))
  folder.write_record(record)
  vae = vj.make_vae(CONFIG.model, (4, 4, 1))
  keys = jax.random.split(jax.random.key(0))
  return trained_run.TrainedRun(
    folder=folder,
    record=record,
    model=vae,
    params=stack_trees([vae.init(key) for key in keys]),
    step=1,
    epoch=1,
    split='test',
    stored=data.Split(images, None),
    x=(images > 99).astype(np.uint8),
  )


@pytest.fixture
def presented(run, monkeypatch):
  """Measures nothing; returns what is presented."""
  found, presented, first = (
    iter(EACH),
    [],
    jax.tree.map(lambda x: x[0], run.params),
  )
  latents = trained_run.measure_test_latents(run._replace(params=first))

  def measure(evaluators, params, x, num_samples):
    assert params['decoder']['output']['bias'].shape == (16,)
    each = dict(next(found))
    active, size = each.pop('active_units'), each.pop('latent_units')
    assert (active in (2, 3), size) == (True, 3)
    numbers = np.full(COUNT, -each['elbo'].mean)
    return each, {'nll': numbers, 'elbo': -numbers}

  monkeypatch.setattr(trained_run, 'measure', measure)
  monkeypatch.setattr(trained_run, 'measure_exact', lambda *args: {})
  monkeypatch.setattr(trained_run, 'measure_test_latents', lambda run: latents)
  monkeypatch.setattr(
    build, 'present', lambda *args: presented.append(args) or ['a file']
  )
  return presented


def test_a_report_without_figures_says_nothing_of_them(run, presented):
  without = run._replace(evaluation='test', draws_figures=False)
  many_seeds.report(without, 'Title', num_samples=5)
  ((shown, *_, notes),) = presented
  assert not shown.draws_figures
  assert not any('figures' in each for each in notes)


def test_a_process_that_writes_nothing_takes_part_in_the_measurements(
  run, presented, monkeypatch
):
  given, made = object(), []
  monkeypatch.setattr(
    many_seeds, 'make_evaluators', lambda *args: made.append(args)
  )
  metrics, paths = many_seeds.report(
    run._replace(mesh=given, writes=False), 'Title', num_samples=5
  )
  assert made == [(run.model, given)]
  assert (metrics['nll'], paths, presented) == (7.0, [], [])
  assert not run.folder.log._path.exists()


def test_the_best_checkpoint_is_measured_without_other_processes(run):
  evaluators = make_evaluators(run.model)
  assert trained_run.own(run, evaluators) is evaluators
  shared = run._replace(mesh=object())
  assert trained_run.own(shared, evaluators) is not evaluators


def test_each_seed_is_measured_and_logged(run, presented):
  seen = []
  metrics, paths = many_seeds.report(
    run._replace(evaluation='test-k5'),
    'Title',
    num_samples=5,
    measure_more=lambda run, latents: (
      seen.append(run.params) or trained_run.More({'ais': 1.0}, {})
    ),
    more_rows=[('time', '1 s')],
  )
  assert len(seen) == 2
  assert (metrics['nll'], metrics['ais']) == (7.0, 1.0)
  assert (metrics['nll_seed5'], metrics['nll_seed6']) == (8.0, 6.0)
  assert metrics['nll_standard_error'] == 0.5
  assert metrics['nll_num_samples'] == 5
  place = run.folder.path / 'evaluations' / 'test-k5'
  (line,) = logger.read_metrics(place / 'metrics.jsonl')
  assert line == line | metrics
  assert paths[-1] == 'a file'
  with np.load(place / 'per_example.npz') as arrays:
    np.testing.assert_array_equal(
      arrays['nll'], np.repeat([[9.0], [7.0]], COUNT, axis=1)
    )
  ((shown, _, nested, title, table, notes),) = presented
  assert title == 'Title, mean +- standard error over seeds 5 to 6'
  assert table[0] == ('ELBO', '    -8.000 +- 1.000 nats')
  assert table[-1] == ('time', '1 s')
  jax.tree.map(np.testing.assert_array_equal, shown.params, seen[0])
  assert nested['elbo'].mean == -9.0
  assert notes[-1].startswith('The figures show seed 5, and curves by epoch')


MODEL = helpers.linear_gaussian(helpers.LOADINGS, helpers.BIAS, helpers.NOISE)
EVALUATORS = make_evaluators(MODEL)
X = np.random.RandomState(0).normal(size=(30, 4)).astype(np.float32)
LAST = {'offset': jnp.array([[2.0, 2.0], [2.1, 2.1]])}


def saved(path, offsets, step=3):
  """A run folder with a best checkpoint of two seeds, after two epochs."""
  params = {'offset': jnp.stack([jnp.full(2, each) for each in offsets])}
  counts = {'step': jnp.int32(step)}
  state = {'train': {'params': params} | counts, 'epoch': jnp.int32(2)}
  (path / 'checkpoints').mkdir()
  checkpoint.save(path / 'checkpoints' / 'best', step, state)
  return RunFolder(path)


@pytest.fixture(scope='module')
def last():
  return [
    measure(EVALUATORS, {'offset': offset}, X, 5).metrics
    for offset in LAST['offset']
  ]


def test_a_better_checkpoint_of_all_seeds_is_measured(tmp_path, last):
  folder = saved(tmp_path, [0.0, 0.1])
  found = best.measure_best_of_seeds(folder, EVALUATORS, LAST, 9, X, last)
  assert [x['best_epoch'] for x in found] == [2, 2]
  for own, before in zip(found, last, strict=True):
    assert own['best_elbo'].mean > before['elbo'].mean + 1
    assert own['best_nll'].mean < before['nll'].mean + 1


@pytest.mark.parametrize(
  ('offsets', 'step'), [([2.1, 2.0], 3), ([0.0, 0.0], 9)]
)
def test_a_best_checkpoint_within_the_error_over_seeds_is_left_out(
  offsets, step, tmp_path, last
):
  folder = saved(tmp_path, offsets, step)
  found = best.measure_best_of_seeds(folder, EVALUATORS, LAST, 9, X, last)
  assert found == [{}, {}]
