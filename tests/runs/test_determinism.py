"""Reproducibility of training runs, as the table of the README states it."""

import functools
import json
import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

import vae_jax as vj
from vae_jax import data, evaluate
from vae_jax.evaluate import chunks

ROOT = pathlib.Path(__file__).parents[2]

# Layers as wide as those that a CPU shares among its cores.
TRAIN = """
import json, os, pathlib, sys, tempfile
cores = int(sys.argv[1])
if cores and hasattr(os, 'sched_setaffinity'):
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
import jax
from vae_jax.runs import Config, pace, train, trainer
trainer._report = lambda *args: {}
if len(sys.argv) > 2:
  pace._SECONDS_PER_CALL = float(sys.argv[2])
seeds = int(os.environ.get('NUM_SEEDS', '1'))
config = Config(
  num_epochs=3, batch_size=100, hidden_sizes=(400,), num_seeds=seeds
)
devices = [int(x) for x in os.environ.get('DEVICES', '1').split()]
with tempfile.TemporaryDirectory() as name:
  # Each further number of devices resumes the run for one more epoch.
  for more, count in enumerate(devices, 1):
    epochs = 3 - len(devices) + more
    train(config.replace(num_epochs=epochs, num_devices=count), folder=name)
  folder = pathlib.Path(name)
  path = sorted((folder / 'checkpoints').glob('step_*.json'))[-1]
  digest = json.loads(path.read_text())['sha256']
  lines = (folder / 'metrics.jsonl').read_text().splitlines()
  lines = [json.loads(line) for line in lines]
print(json.dumps({
  'jax': jax.__version__,
  'digest': digest,
  'elbo': [line.get('elbo_seed0', line['elbo']) for line in lines],
}))
"""


@functools.cache
def train_in_process(*argv, python=sys.executable, **env):
  """Trains briefly in a process of its own; returns its final state."""
  # Compiled as for a user, without the flags of the tests.
  plain = {name: x for name, x in os.environ.items() if name != 'XLA_FLAGS'}
  result = subprocess.run(
    [python, '-P', '-c', TRAIN, *map(str, argv)],
    capture_output=True,
    text=True,
    check=True,
    env=plain | {'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu'} | env,
  )
  return json.loads(result.stdout.splitlines()[-1])


def other_python():
  """Returns an interpreter of another version with the library installed."""
  for name in ('.venv', '.venv-second'):
    python = ROOT / name / 'bin' / 'python'
    if python.exists() and not python.samefile(sys.executable):
      version = [str(python), '-c', 'import sys; print(sys.version_info[:2])']
      found = subprocess.run(version, capture_output=True, text=True).stdout
      if found and found.strip() != str(sys.version_info[:2]):
        return str(python)
  pytest.skip('no second environment, of another Python, beside this one')


def evaluated(size):
  config = vj.Config(hidden_sizes=(16,), latent_dim=3)
  vae = vj.make_vae(config.model, (8, 8, 1))
  params = vae.init(jax.random.key(0))
  images = (data.load_test('digits').x[:40] > 128).astype(np.uint8)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(chunks, 'CHUNK_FLOATS', size)
    patch.setattr(evaluate.nll, '_EXAMPLES', 7 if size < 2**16 else 64)
    nll = vj.estimate_nll(
      jax.random.key(1), vae, params, images, num_samples=30
    )
  return {'elbo': nll.per_example}


VIRTUAL = {'XLA_FLAGS': '--xla_force_host_platform_device_count=4'}
ROUNDING = (
  'one core or all, other chunks of an evaluation, another Python with its jax'
)
# Row of the table -> runs to compare, by name; stops and kills are tested in
# test_loop and test_faults.
CASES = {
  'the same command again, also after stops and kills': {
    'again': lambda: train_in_process(0, 0.3),
  },
  'longer or shorter compiled calls, unused devices': {
    'calls': lambda: train_in_process(0, 1e-9),
    'devices': lambda: train_in_process(0, **VIRTUAL),
  },
  'a seed of `--num_seeds` and its own run': {
    'seeds': lambda: train_in_process(0, NUM_SEEDS='2'),
  },
  'more or fewer devices (`--num_devices`), also after resuming': {
    'sharded': lambda: train_in_process(0, DEVICES='4', **VIRTUAL),
    'resumed': lambda: train_in_process(0, DEVICES='4 1 2', **VIRTUAL),
  },
  ROUNDING: {
    'core': lambda: train_in_process(1),
    'python': lambda: train_in_process(0, python=other_python()),
  },
}


def claims():
  """Returns the table of the README: row -> result."""
  text = (ROOT / 'README.md').read_text()
  section = text.split('## Determinism')[1].split('\n## ')[0]
  return dict(re.findall(r'^\| ([a-z].*?) \| ([a-z].*?) \|$', section, re.M))


def assert_as_claimed(row, one, other):
  if claims()[row] == 'the same bits':
    assert one == other
  else:
    assert claims()[row] == 'the same draws, numbers to rounding'
    np.testing.assert_allclose(one['elbo'], other['elbo'], rtol=1e-3)


def test_table_of_the_readme_has_these_rows():
  assert set(claims()) == {*CASES, 'another kind of device'}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
  ('row', 'case'), [(row, case) for row in CASES for case in CASES[row]]
)
def test_row_of_the_table_is_true(row, case):
  assert_as_claimed(row, train_in_process(0), CASES[row][case]())


@pytest.mark.slow
def test_chunks_of_an_evaluation_change_rounding_only():
  assert_as_claimed(ROUNDING, evaluated(2**20), evaluated(2**10))
