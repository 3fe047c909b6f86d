import json

import numpy as np
import pytest

from experiments.lab import benchmark
from experiments.lab.config import BenchmarkConfig


@pytest.fixture
def timed(tmp_path, monkeypatch):
  """Returns the timings of two equal cases of a small model, and the folder."""
  make_calls = benchmark._make_calls

  def make_two(options):
    calls = make_calls(options)
    return calls | {'other': calls[benchmark.BASE]}

  monkeypatch.setattr(benchmark, '_make_calls', make_two)
  monkeypatch.setattr(benchmark, 'CASES', {benchmark.BASE: {}})
  monkeypatch.setattr(benchmark, '_SECONDS', 1e-4)
  monkeypatch.setattr(benchmark, '_STEPS', 3)
  options = BenchmarkConfig(
    workdir=str(tmp_path),
    num_rounds=3,
    hidden_sizes=(4,),
    latent_dim=2,
    batch_size=5,
  )
  return benchmark.run_benchmark(options), tmp_path


def test_every_case_is_timed_and_written(timed):
  timings, folder = timed
  assert [t.case for t in timings] == [benchmark.BASE, 'other']
  assert timings[0][2:] == (1.0, 1.0, 1.0)
  for timing in timings:
    assert timing.milliseconds > 0
    assert timing.low <= timing.ratio <= timing.high
  records = json.loads((folder / benchmark.RESULTS).read_text())
  assert [list(r.values()) for r in records] == [list(t) for t in timings]
  assert (folder / 'ratios.png').is_file()


def test_ratio_is_the_median_over_rounds():
  rounds = [
    {'elbo': base, 'x': base * r} for base, r in ((1, 3), (5, 2), (9, 4))
  ]
  timing = benchmark._timing('x', rounds)
  np.testing.assert_allclose(timing[1:], (10_000, 3, 2.5, 3.5))


def test_number_of_steps_per_call_is_at_most_an_epoch(monkeypatch):
  took = []
  clock = iter(np.cumsum([0.0, 0.05] * 100))
  monkeypatch.setattr(benchmark.time, 'perf_counter', lambda: next(clock))
  # Every call takes 0.05 s, for any number of steps.
  assert benchmark._count(took.append) == benchmark._STEPS
  assert took[0] == 1


def test_every_case_is_a_valid_config():
  for case in benchmark.CASES.values():
    benchmark.Config(**case)
