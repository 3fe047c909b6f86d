"""Bits of eight training runs: a change that moves them is to be meant.

Each digest is of the final parameters and of the metrics without times, from
three epochs on the digits (or the linear-Gaussian set) with seed 4. They hold
for the release of jaxlib and the kind of processor that recorded them.
"""

import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parent.parent
RECORDS = json.loads((ROOT / 'tests' / 'bits.json').read_text())


def digests(folder):
  """Returns the SHA-256 of a run's parameters and of its metrics."""
  manifest = max((folder / 'checkpoints').glob('step_*.json'))
  names = [leaf[0] for leaf in json.loads(manifest.read_text())['leaves']]
  arrays = np.load(manifest.with_suffix('.npz'))
  params = hashlib.sha256()
  for index, name in enumerate(names):
    if name.startswith('train/params/'):
      params.update(name.encode() + arrays[f'arr_{index}'].tobytes())
  metrics = hashlib.sha256()
  for line in (folder / 'metrics.jsonl').read_text().splitlines():
    record = json.loads(line)
    record.pop('examples_per_second', None)
    metrics.update(json.dumps(sorted(record.items())).encode())
  return {'params': params.hexdigest(), 'metrics': metrics.hexdigest()}


def this_machine():
  cpu = pathlib.Path('/proc/cpuinfo')
  flags = [x for x in cpu.read_text().splitlines() if x.startswith('flags')]
  features = hashlib.sha256(flags[0].encode()).hexdigest() if flags else ''
  return {
    'jaxlib': importlib.metadata.version('jaxlib'),
    'machine': platform.machine(),
    'cpu': features,
  }


@pytest.mark.slow
@pytest.mark.skipif(
  not pathlib.Path('/proc/cpuinfo').exists(), reason='processor is unknown'
)
@pytest.mark.parametrize('name', RECORDS['runs'])
def test_a_run_has_the_recorded_bits(name, tmp_path):
  if this_machine() != RECORDS['machine']:
    pytest.skip('recorded with another jaxlib or on another processor')
  record = RECORDS['runs'][name]
  # The settings of the other tests would change the compiled program.
  environment = {k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'}
  subprocess.run(
    [
      *(sys.executable, '-P', '-m', 'experiments.train'),
      *(f'--workdir={tmp_path}', '--seed=4', '--num_epochs=3'),
      *record['flags'],
    ],
    env=environment | {'PYTHONPATH': str(ROOT)},
    check=True,
    capture_output=True,
  )
  assert digests(tmp_path) == record['digests']
