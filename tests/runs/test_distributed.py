"""Runs of several processes on one machine, over loopback."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from vae_jax.data import local

ROOT = pathlib.Path(__file__).parents[2]
# With blocks of eight steps, of images that are read from disk. A process reads
# its own examples only.
CODE = """
import sys

import jax
from experiments import evaluate, train
from vae_jax.data import feed
from vae_jax.runs import flags

feed._BUFFER_BYTES = 8 * 100 * 64
read = feed.Feed._examples

def read_own(self, rows):
  assert rows.shape[1] == 100 // jax.process_count()
  return read(self, rows)

feed.Feed._examples = read_own
command = {'train': train, 'evaluate': evaluate}[sys.argv.pop(1)]
flags.run(command.main)
"""
MODULE = (sys.executable, '-P', '-c', CODE)
FLAGS = {
  'train': (
    '--batch_size=100',
    '--hidden_sizes=8',
    '--latent_dim=2',
    '--nll_num_samples=2',
    '--num_devices=0',
  ),
  'evaluate': ('--num_samples=20', '--num_devices=0', '--report=table'),
}


def start(folder, index=0, count=1, *flags, port=0, devices=2, command='train'):
  if count > 1:
    flags += (
      '--distributed',
      f'--coordinator=127.0.0.1:{port}',
      f'--num_processes={count}',
      f'--process_id={index}',
    )
  environment = os.environ | {
    'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}',
    'JAX_PLATFORMS': 'cpu',
    'JAX_DISABLE_MOST_OPTIMIZATIONS': 'true',
    'PYTHONPATH': str(ROOT),
  }
  return subprocess.Popen(
    [*MODULE, command, *FLAGS[command], f'--workdir={folder}', *flags],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env=environment,
  )


def free_port():
  with socket.socket() as server:
    server.bind(('127.0.0.1', 0))
    return server.getsockname()[1]


def finish(*processes):
  """Returns exit code and error lines of each process, without those of jax."""
  found = []
  for process in processes:
    _, text = process.communicate(timeout=300)
    ours = [line for line in text.splitlines() if line.startswith('error: ')]
    found.append((process.returncode, ours))
  return found


def elbos(folder):
  lines = (folder / 'metrics.jsonl').read_text().splitlines()
  return [json.loads(line)['elbo'] for line in lines]


@pytest.mark.long
@pytest.mark.slow
def test_two_processes_compute_the_run_of_one_and_one_resumes_it(tmp_path):
  one, two = tmp_path / 'one', tmp_path / 'two'
  port, flags = free_port(), ('--report=none',)
  pair = [
    start(two, i, 2, *flags, '--num_epochs=1', port=port) for i in range(2)
  ]
  assert finish(*pair) == [(0, []), (0, [])]
  alone = [
    start(folder, 0, 1, *flags, '--num_epochs=2', devices=1)
    for folder in (one, two)
  ]
  assert finish(*alone) == [(0, []), (0, [])]
  assert elbos(one) == pytest.approx(elbos(two), rel=1e-4)


@pytest.mark.long
@pytest.mark.slow
def test_two_processes_evaluate_a_run_as_one_does(tmp_path):
  folder, port = tmp_path / 'run', free_port()
  flags = ('--num_epochs=1', '--report=none')
  assert finish(start(folder, 0, 1, *flags, devices=1)) == [(0, [])]
  found = []
  for count in (1, 2):
    group = [
      start(folder, i, count, port=port, devices=1, command='evaluate')
      for i in range(count)
    ]
    assert finish(*group) == [(0, [])] * count
    (log,) = folder.glob('evaluations/*/metrics.jsonl')
    found.append(json.loads(log.read_text()))
    shutil.rmtree(folder / 'evaluations')
  one, two = found
  for name in ('elbo', 'nll', 'nll_standard_error'):
    assert two[name] == pytest.approx(one[name], rel=1e-5), name


@pytest.mark.long
@pytest.mark.slow
def test_two_processes_read_from_disk_what_one_has_in_memory(tmp_path):
  for part, split in local.read_digits().items():
    np.save(tmp_path / f'{part}-0.npy', split.x)
  one, two, port = tmp_path / 'one', tmp_path / 'two', free_port()
  flags = (f'--dataset={tmp_path}', '--num_epochs=2', '--report=none')
  streamed = (*flags, '--stream=always')
  pair = [start(two, i, 2, *streamed, port=port) for i in range(2)]
  assert finish(*pair) == [(0, []), (0, [])]
  assert finish(start(one, 0, 1, *flags, devices=1)) == [(0, [])]
  assert elbos(one) == pytest.approx(elbos(two), rel=1e-4)


@pytest.mark.slow
def test_different_options_are_refused_by_name(tmp_path):
  port, rates = free_port(), ('1e-3', '1e-2')
  pair = [
    start(tmp_path / 'run', i, 2, f'--learning_rate={rates[i]}', port=port)
    for i in range(2)
  ]
  for code, lines in finish(*pair):
    assert code == 2
    (line,) = lines
    assert '--learning_rate: got 0.01 in process 1, expected 0.001' in line


@pytest.mark.long
@pytest.mark.slow
def test_a_killed_process_ends_the_others_within_30_seconds(tmp_path):
  port, folder = free_port(), tmp_path / 'run'
  flags = ('--num_epochs=100000', '--checkpoint_seconds=0.5')
  first, second = (start(folder, i, 2, *flags, port=port) for i in range(2))
  deadline = time.monotonic() + 240
  while len(list(folder.glob('checkpoints/step_*.json'))) < 2:
    assert first.poll() is None, first.communicate()
    assert time.monotonic() < deadline
    time.sleep(0.2)
  second.kill()
  killed = time.monotonic()
  ((code, lines),) = finish(first)
  assert time.monotonic() - killed < 30
  assert code == 2
  (line,) = lines
  assert 'lost another process' in line
  second.communicate()
  assert list(folder.glob('checkpoints/step_*.json'))
