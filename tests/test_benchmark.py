import json

import numpy as np
import pytest

from vae_jax import benchmark
from vae_jax.config import BenchmarkConfig


@pytest.fixture
def timed(tmp_path, monkeypatch):
  """Few cases of a small model; what they took, and the results' folder."""
  few = {name: benchmark.CASES[name] for name in ('elbo', 'iwae, K = 5')}
  monkeypatch.setattr(benchmark, 'CASES', few)
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


def test_every_case_is_compared_with_the_base_of_its_round(timed, capsys):
  timings, folder = timed
  assert [t.case for t in timings] == ['elbo', 'iwae, K = 5']
  assert timings[0][2:] == (1.0, 1.0, 1.0)
  for timing in timings:
    assert timing.milliseconds > 0
    assert timing.low <= timing.ratio <= timing.high
  records = json.loads((folder / benchmark.RESULTS).read_text())
  assert [list(r.values()) for r in records] == [list(t) for t in timings]
  assert (folder / 'ratios.png').is_file()


def test_ratios_are_of_one_round_and_their_middle_is_told():
  rounds = [
    {'elbo': base, 'x': base * r} for base, r in ((1, 3), (5, 2), (9, 4))
  ]
  timing = benchmark._timing('x', rounds)
  np.testing.assert_allclose(timing[1:], (10_000, 3, 2.5, 3.5))


def test_a_call_is_long_enough_and_no_longer_than_an_epoch(monkeypatch):
  took = []
  clock = iter(np.cumsum([0.0, 0.05] * 100))
  monkeypatch.setattr(benchmark.time, 'perf_counter', lambda: next(clock))
  # Each call takes 0.05 s, however many steps it has.
  assert benchmark._count(took.append) == benchmark._STEPS
  assert took[0] == 1


def test_every_case_is_a_run_that_its_flags_allow():
  for case in benchmark.CASES.values():
    benchmark.Config(**case)
