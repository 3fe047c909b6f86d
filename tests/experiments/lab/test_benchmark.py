import json
import time

import jax
import numpy as np
import pytest

from experiments.lab.benchmark import (
  estimators,
  peers,
  run_benchmark,
  scaling,
  startup,
  stream,
  timing,
)
from experiments.lab.benchmark.workloads import Workload
from experiments.lab.config import BenchmarkConfig
from vae_jax.errors import UserError


@pytest.fixture
def timed(tmp_path, monkeypatch):
  """Returns the timings of two equal cases of a small model, and the folder."""
  make_calls = estimators.make_calls

  def make_two(options):
    calls = make_calls(options)
    return calls | {'other': calls[estimators.BASE]}

  monkeypatch.setattr(estimators, 'make_calls', make_two)
  monkeypatch.setattr(estimators, 'CASES', {estimators.BASE: {}})
  monkeypatch.setattr(timing, 'SECONDS', 1e-4)
  monkeypatch.setattr(timing, 'STEPS', 3)
  options = BenchmarkConfig(
    workdir=str(tmp_path),
    num_rounds=3,
    hidden_sizes=(4,),
    latent_dim=2,
    batch_size=5,
  )
  return run_benchmark(options), tmp_path


@pytest.mark.slow
def test_every_case_is_timed_and_written(timed):
  timings, folder = timed
  assert [t.case for t in timings] == [estimators.BASE, 'other']
  assert timings[0][2:] == (1.0, 1.0, 1.0)
  for t in timings:
    assert t.milliseconds > 0
    assert t.low <= t.ratio <= t.high
  records = json.loads((folder / estimators.RESULTS).read_text())
  assert [list(r.values()) for r in records] == [list(t) for t in timings]
  assert (folder / 'ratios.png').is_file()


def test_ratio_is_the_median_over_rounds():
  rounds = [
    {'elbo': base, 'x': base * r} for base, r in ((1, 3), (5, 2), (9, 4))
  ]
  found = timing.summarise('x', 'elbo', rounds)
  np.testing.assert_allclose(found[1:], (10_000, 3, 2.5, 3.5))


def test_number_of_steps_per_call_is_at_most_an_epoch(monkeypatch):
  took = []
  clock = iter(np.cumsum([0.0, 0.05] * 100))
  monkeypatch.setattr(timing.time, 'perf_counter', lambda: next(clock))
  # Every call takes 0.05 s, for any number of steps.
  assert timing.count_steps(took.append) == timing.STEPS
  assert took[0] == 1


def test_every_case_is_a_valid_config():
  for case in estimators.CASES.values():
    estimators.Config(**case)


@pytest.mark.slow
@pytest.mark.long
def test_peers_are_timed_or_named_as_missing(tmp_path, monkeypatch, capsys):
  def missing(workload, images):
    raise ImportError("No module named 'absent'")

  tiny = Workload((5,), 'relu', 2, batch_size=4, num_samples=3)
  monkeypatch.setattr(peers, 'WORKLOADS', {'A': tiny})
  monkeypatch.setattr(peers, '_STEPS', {'A': 2})
  ours = {n: p for n, p in peers.PEERS.items() if 'torch' not in n}
  absent = {'other': peers.Peer(missing, 'absent')}
  monkeypatch.setattr(peers, 'PEERS', ours | absent)
  options = BenchmarkConfig(workdir=str(tmp_path), suite='peers', num_rounds=2)
  # Other people's programs broadcast as NumPy does.
  with jax.numpy_rank_promotion('allow'):
    timings = run_benchmark(options)
  assert [t.case for t in timings] == [f'A, {name}' for name in ours]
  output = capsys.readouterr().out
  assert "other: left out, No module named 'absent'" in output
  assert 'share of the bound' in output
  assert (tmp_path / 'peers_A.png').is_file()


def test_start_and_end_are_measured_in_new_processes(
  tmp_path, monkeypatch, capsys
):
  seconds = iter(range(1, 100))

  def run_python(scratch, *arguments):
    if '-c' in arguments:
      return ''
    start = next(seconds)
    marks = {'first': (start, 1, 20), 'trained': (50, 3, 30)}
    return 'Files in ...\n' + json.dumps(marks | {'end': (58, 5, 45)})

  monkeypatch.setattr(startup, 'run_python', run_python)
  options = BenchmarkConfig(
    workdir=str(tmp_path), suite='startup', num_rounds=2
  )
  found = {x.case: x for x in run_benchmark(options)}
  # Four trainings a round; the first round warms up.
  assert found['command to first step'].seconds == (5 + 9) / 2
  assert found['command to first step, cached'].seconds == (8 + 12) / 2
  for report in startup.REPORTS:
    case = found[f'report, {report}']
    assert (case.seconds, case.cpu_seconds, case.programs) == (8, 2, 15)
  assert found[startup.BASE].ratio == 1
  assert 'import vae_jax' in capsys.readouterr().out
  records = json.loads((tmp_path / estimators.RESULTS).read_text())
  assert [x['case'] for x in records] == list(found)
  assert (tmp_path / 'startup.png').is_file()


def test_a_process_that_fails_is_named(tmp_path):
  with pytest.raises(UserError, match=r'exit code 1, .*ZeroDivisionError'):
    startup.run_python(tmp_path, '-c', '1 / 0')


@pytest.mark.slow
@pytest.mark.long
def test_a_training_process_prints_its_times(tmp_path):
  module = 'experiments.lab.benchmark.startup_child'
  flags = (f'--workdir={tmp_path}/run', '--num_epochs=1', '--report=none')
  output = startup.run_python(
    tmp_path, *('-m', module), str(time.time()), *flags, '--hidden_sizes=8'
  )
  marks = json.loads(output.splitlines()[-1])
  assert list(marks) == ['first', 'trained', 'end']
  assert np.all(np.diff(list(marks.values()), axis=0) >= 0)
  assert marks['first'][2] > 5


@pytest.mark.slow
def test_epochs_from_disk_are_timed_beside_those_from_memory(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(stream, '_NUM_IMAGES', 20)
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'none'))
  options = BenchmarkConfig(
    workdir=str(tmp_path),
    suite='stream',
    num_rounds=2,
    hidden_sizes=(4,),
    latent_dim=2,
    batch_size=5,
  )
  timings = run_benchmark(options)
  assert [t.case for t in timings] == [stream.MEMORY, stream.SHARDS]
  output = capsys.readouterr().out
  assert f'{stream.TFDS}: left out, dataset' in output
  assert 'examples per second: ' in output
  assert (tmp_path / 'stream.png').is_file()


@pytest.mark.slow
@pytest.mark.long
def test_growth_with_every_option_is_timed(tmp_path, monkeypatch, capsys):
  sizes = dict.fromkeys(scaling.SIZES, (1, 2))
  monkeypatch.setattr(scaling, 'SIZES', sizes)
  monkeypatch.setattr(timing, 'SECONDS', 1e-4)
  monkeypatch.setattr(timing, 'STEPS', 3)
  made = []
  training = estimators.training

  def record(config, images, mesh):
    flat = config.flat()
    made.append({name: flat[name] for name in sizes} | {'mesh': mesh})
    return training(config, images, mesh)

  monkeypatch.setattr(estimators, 'training', record)
  options = BenchmarkConfig(
    workdir=str(tmp_path),
    suite='scaling',
    num_rounds=2,
    hidden_sizes=(4, 4),
    latent_dim=2,
    batch_size=5,
  )
  timings = run_benchmark(options)
  output = capsys.readouterr().out
  names = [f'{name} = {i}' for name in sizes for i in (1, 2)]
  # The tests have one device.
  assert 'num_devices: left out above 1' in output
  assert [t.case for t in timings] == names[:-1]
  assert '2 times the batch_size in ' in output
  base = {'batch_size': 5, 'num_samples': 1, 'hidden_sizes': (4, 4)}
  base |= {'num_seeds': 1, 'num_devices': 1, 'mesh': None}
  small = lambda **changed: base | changed
  assert made == [
    small(batch_size=1),
    small(batch_size=2),
    small(),
    small(num_samples=2),
    small(hidden_sizes=(1, 1)),
    small(hidden_sizes=(2, 2)),
    small(),
    small(num_seeds=2),
    small(batch_size=6),
  ]
  assert (tmp_path / 'scaling.png').is_file()
