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
# Trains one run after the other, each into its folder. Figures, which take most
# of the time, change no number.
TRAIN = """
import json, sys
from experiments import train
from vae_jax.runs import flags
from vae_jax.runs.report import build
build.present = lambda *args: []
for folder, argv in json.loads(sys.argv[1]):
  argv = ['train', f'--workdir={folder}', '--seed=4', '--num_epochs=3', *argv]
  try:
    flags.run(lambda _: train.main(argv))
  except SystemExit as stop:  # At the end of each command.
    if stop.code:
      raise
"""
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


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Returns a folder with all runs, trained in one process of their own."""
  if not pathlib.Path('/proc/cpuinfo').exists():
    pytest.skip('processor is unknown')
  if this_machine() != RECORDS['machine']:
    pytest.skip('recorded with another jaxlib or on another processor')
  folder = tmp_path_factory.mktemp('bits')
  runs = [
    (str(folder / name), record['flags'])
    for name, record in RECORDS['runs'].items()
  ]
  # The settings of the other tests would change the compiled program.
  environment = {k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'}
  subprocess.run(
    [sys.executable, '-P', '-c', TRAIN, json.dumps(runs)],
    env=environment | {'PYTHONPATH': str(ROOT)},
    check=True,
    capture_output=True,
  )
  return folder


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize('name', RECORDS['runs'])
def test_a_run_has_the_recorded_bits(name, folder):
  assert digests(folder / name) == RECORDS['runs'][name]['digests']
